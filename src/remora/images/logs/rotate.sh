#!/bin/sh
# Keeps the files of a file destination.
#
#   rotate.sh "BYTES STACK"             renames files that have BYTES; rsyslog calls it between two writes, and then goes
#                                       on in a new file, so no line is lost or split
#   rotate.sh tidy KEEP COMPRESS STACK  compresses renamed files, and deletes all but the newest KEEP of each service
set -eu

# folders STACK: one stack's, or with * those of all
folders() { if [ "$1" = "*" ]; then find /out -mindepth 1 -maxdepth 1 -type d; else echo "/out/$1"; fi; }

rotate() {
  folders "$2" | while read -r folder; do
    find "$folder" -maxdepth 1 -name '*.log' -size "+$(($1 - 1))c" | while read -r file; do
      mv "$file" "$file.$(date -u +%Y%m%dT%H%M%S.%N)"
    done
  done
}

tidy() {
  folders "$3" | while read -r folder; do
    [ -d "$folder" ] || continue
    if [ "$2" = gz ]; then
      find "$folder" -maxdepth 1 -name '*.log.2*' ! -name '*.gz' | while read -r file; do gzip -f "$file"; done
    fi
    find "$folder" -maxdepth 1 -name '*.log' | while read -r file; do
      find "$folder" -maxdepth 1 -name "${file##*/}.2*" | sort -r | tail -n "+$(($1 + 1))" | while read -r old; do rm -f "$old"; done
    done
  done
}

if [ "$1" = tidy ]; then
  tidy "$2" "$3" "$4"
else
  set -f
  # shellcheck disable=SC2086
  rotate $1
fi
