#!/bin/sh
# What the image runs: `read` or `send`.
set -eu
here=/opt/remora/images/logs

case ${1:-} in
  read) exec python3 -S -m remora.images.logs.reader ;;
  send) ;;
  *) exec "$@" ;;
esac

# ---- send: rsyslog does it; this shell starts it, keeps files tidy, and lets it finish ----

python3 -S -m remora.images.logs.sender render /run
stopping=
trap 'stopping=1' TERM INT
rsyslogd -n -i NONE -f /run/rsyslog.conf &
rsyslogd=$!
if [ -e /run/keep ]; then
  while sleep 5; do nice -n 19 "$here/rotate.sh" tidy $(cat /run/keep) || true; done &
fi

status=0
wait "$rsyslogd" || status=$?
if [ -z "$stopping" ]; then
  echo "sender: rsyslogd ended with $status" >&2
  exit 1
fi

# What rsyslog has read it takes for sent when it is asked to end, so it is only asked when everything is sent.
if python3 -S -m remora.images.logs.sender drain; then
  kill -TERM "$rsyslogd" 2>/dev/null || true
  ( sleep 2; kill -KILL "$rsyslogd" 2>/dev/null ) &
else
  kill -KILL "$rsyslogd" 2>/dev/null || true
fi
wait "$rsyslogd" || true
exit 0
