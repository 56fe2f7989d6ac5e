# shellcheck shell=bash
# What tools/engine and tools/base-image share: words for people, and packages from the machine's own Debian mirror.
#
# apt is run on lists and pins of our own, kept in .engine/apt, so that the machine's configuration stays as it is
# and a third party's source that is away does no harm.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
state=$(readlink -m "$root/.engine") # may be a link to a disk with more room
PATH=$PATH:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

make_state() {
  mkdir -p "$state"
  echo '*' >"$state/.gitignore"
}

# run WORDS COMMAND...: says WORDS, runs the command, shows the end of its output where it fails
run() {
  local words=$1 out began=$SECONDS
  shift
  make_state
  out=$(mktemp "$state/output.XXXXXX")
  say "$words ..."
  if ! "$@" >"$out" 2>&1; then
    tail -n 20 "$out" >&2
    rm -f "$out"
    die "$words: failed"
  fi
  rm -f "$out"
  (($((SECONDS - began)) < 3)) || say "$words: $((SECONDS - began)) s"
}

codename() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release; }

# apt_targets: what apt reads, whatever the form of its sources; a machine that never read its lists knows no origins
apt_targets() {
  # shellcheck disable=SC2016 # the $(...) are apt's
  local ask=(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)') only='Created-By: Packages'
  "${ask[@]}" "$only" | grep . || "${ask[@]}" --no-release-info "$only"
}

# debian_sources SUITE: what the machine gets from Debian, as one-line entries for SUITE
debian_sources() {
  local uri release component origin have keys=/usr/share/keyrings/debian-archive-keyring.gpg
  have=$(codename)
  apt_targets |
    while read -r uri release component origin; do
      [[ $release =~ ^("$have"|oldstable|stable)(|-updates|-security)$ && $component == main ]] || continue
      [[ $origin == Debian || ($origin != [A-Z]* && $uri == *debian*) ]] || continue
      if [[ $uri == mirror+file:* ]]; then # a list of mirrors: an image has no such file, its first mirror will do
        read -r uri _ <"${uri#mirror+file:}"
      fi
      echo "deb $([ ! -e "$keys" ] || echo "[signed-by=$keys] ")$uri $1${BASH_REMATCH[2]} main"
    done | sort -u
}

# read_lists WHAT: the package lists of this Debian; on Debian 12 the Docker packages, and nothing else by choice, come from Debian 13.
# Sets apt_options.
read_lists() {
  local apt=$state/apt
  case $(codename) in
    bookworm | trixie) ;;
    *) die "installing $1 by itself works on Debian 12 and 13 only: install it yourself and run this again" ;;
  esac
  make_state
  mkdir -p "$apt/lists/partial" "$apt/none"
  debian_sources "$(codename)" >"$apt/sources.list"
  : >"$apt/preferences"
  if [ "$(codename)" = bookworm ]; then
    debian_sources trixie >>"$apt/sources.list"
    cat >"$apt/preferences" <<-PINS
	Package: *
	Pin: release n=trixie*
	Pin-Priority: 1

	Package: docker.io docker-cli docker-compose docker-buildx
	Pin: release n=trixie*
	Pin-Priority: 990
	PINS
  fi
  [ -s "$apt/sources.list" ] || die "no Debian source is configured for apt: add one to /etc/apt/sources.list.d"
  apt_options=(-q -y -o "Dir::Etc::sourcelist=$apt/sources.list" -o "Dir::Etc::sourceparts=$apt/none"
    -o "Dir::Etc::preferences=$apt/preferences" -o "Dir::Etc::preferencesparts=$apt/none"
    -o "Dir::State::lists=$apt/lists" -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=120)
  run "reading the package lists" apt-get "${apt_options[@]}" update
}

# install_packages NAME...
install_packages() {
  [ "$(id -u)" = 0 ] || die "installing $* needs root: run \`sudo $0\`, or install them yourself and run this again"
  read_lists "$*"
  run "installing $*" apt-get "${apt_options[@]}" install --no-install-recommends "$@"
}

# unpack_package NAME: into .engine/NAME, for one that would start a service where it is installed; needs no root
unpack_package() {
  local folder
  read_lists "$1"
  folder=$(mktemp -d "$state/unpacking.XXXXXX")
  (cd "$folder" && run "fetching $1" apt-get "${apt_options[@]}" download "$1" && dpkg-deb -x "$1"_*.deb content)
  rm -rf "${state:?}/$1"
  mv "$folder/content" "$state/$1"
  rm -rf "$folder"
}
