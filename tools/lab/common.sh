# shellcheck shell=bash
# Sourced by the laboratory's scripts: where it lives, and how a Debian folder is made and entered.

lab_tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$lab_tools/../.." && pwd)
# shellcheck source=tools/debian.sh
. "$repository/tools/debian.sh"

LAB=${VKBERT_LAB:-${XDG_CACHE_HOME:-$HOME/.cache}/vkbert/lab}
mkdir -p "$LAB"
LAB=$(cd "$LAB" && pwd -P)

# inside FOLDER PATH... -- COMMAND...: runs COMMAND as root in that Debian folder, with /proc and /dev, and each PATH of this
# machine visible there, read-only, under the same name. Mounts live in a mount namespace of their own: none is left behind.
inside() {
  local folder=$1 paths=()
  shift
  while [ "$1" != -- ]; do paths+=("$(realpath "$1")"); shift; done
  shift
  # shellcheck disable=SC2016  # expanded inside
  as_root unshare --mount --propagation private bash -c '
    set -eu
    folder=$1; count=$2; shift 2
    mount -t proc proc "$folder/proc"
    mount --rbind /dev "$folder/dev"
    for ((i = 0; i < count; i++)); do
      if [ -d "$1" ]; then mkdir -p "$folder$1"; else mkdir -p "$(dirname "$folder$1")"; [ -e "$folder$1" ] || touch "$folder$1"; fi
      mount --bind "$1" "$folder$1"
      mount -o remount,bind,ro "$folder$1"
      shift
    done
    exec chroot "$folder" "$@"' inside "$folder" ${#paths[@]} ${paths[@]+"${paths[@]}"} "$@"
}

# debian_folder SUITE FOLDER: a minimal Debian there, with this machine's apt settings (proxies, certificates) and name service.
debian_folder() {
  local suite=$1 folder=$2 mirror
  [ ! -e "$folder/etc/apt/vkbert-made" ] || return 0
  mirror=$(debian_mirror) || fail "no Debian mirror known: set VKBERT_DEBIAN_MIRROR"
  apt_install debootstrap debian-archive-keyring
  if ! [ -x "$folder/usr/bin/apt-get" ] || [ -d "$folder/debootstrap" ]; then
    say "making a Debian $suite folder in $folder"
    as_root rm -rf "$folder"
    as_root debootstrap --variant=minbase "$suite" "$folder" "$mirror" >"$LAB/debootstrap-$suite.log" 2>&1 ||
      fail "debootstrap $suite failed: $LAB/debootstrap-$suite.log"
  fi
  debian_settings "$folder"
  as_root touch "$folder/etc/apt/vkbert-made"
}

# debian_settings FOLDER: whatever lets this machine reach its mirror, copied there.
debian_settings() {
  local folder=$1 file
  apt-config dump | grep -E '^Acquire::(http|https|ftp|Check-|Retries|By-Hash|ForceIPv)' |
    as_root tee "$folder/etc/apt/apt.conf.d/90machine" >/dev/null || true
  echo 'APT::Install-Recommends "0"; Acquire::Languages "none";' | as_root tee "$folder/etc/apt/apt.conf.d/91vkbert" >/dev/null
  for file in /etc/resolv.conf /etc/hosts /etc/pip.conf; do
    [ ! -r "$file" ] || as_root cp -L "$file" "$folder$file"
  done
  if [ -r /etc/ssl/certs/ca-certificates.crt ]; then
    as_root mkdir -p "$folder/etc/ssl/certs"
    as_root cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
  fi
}

# folder_install FOLDER PACKAGE...: installs packages inside it.
folder_install() {
  local folder=$1
  shift
  inside "$folder" -- env DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin apt-get install -y -qq "$@" </dev/null \
    >"$LAB/apt.log" 2>&1 || { tail -5 "$LAB/apt.log" >&2; return 1; }
  inside "$folder" -- apt-get clean
}

# icd_manifest LIBRARY FILE: a loader manifest that points to that driver.
icd_manifest() {
  printf '{ "file_format_version": "1.0.0", "ICD": { "library_path": "%s", "api_version": "1.3.0" } }\n' "$1" | as_root tee "$2" >/dev/null
}
