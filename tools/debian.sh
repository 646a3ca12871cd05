# shellcheck shell=bash
# Sourced by tools/setup and tools/lab: packages of any Debian release without touching the system.

say() { printf '%s\n' "$*" >&2; }
fail() { say "$(basename "$0"): $*"; exit 1; }

# as_root COMMAND...: runs it as root, through sudo where we are not.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "needs root for: $* (run it as root, or install sudo)"
  fi
}

# apt_install PACKAGE...: installs what is missing of them with the system's apt; nothing happens when all are there.
apt_install() {
  local package missing=()
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null
}

# debian_mirror: prints the address of the Debian archive that this machine's apt uses (VKBERT_DEBIAN_MIRROR overrides;
# it is needed on Ubuntu and wherever apt is absent).
debian_mirror() {
  local mirror=${VKBERT_DEBIAN_MIRROR:-}
  # shellcheck disable=SC2016  # apt's own placeholders
  [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 2>/dev/null | sed -n 's/^Debian //p' | sort | uniq -c |
    sort -rn | awk 'NR == 1 { print $2 }')
  # Before the first apt-get update there is no index, hence no label: take the address from the sources themselves.
  [ -n "$mirror" ] || mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    grep -oE '(https?|file|copy|mirror[+a-z]*):/[^] ]+/debian/?( |$)' | head -1 | tr -d ' ') || true
  [ -n "$mirror" ] || return 1
  printf '%s\n' "${mirror%/}"
}

# debian_packages SUITE FOLDER PACKAGE...: unpacks packages of that release into FOLDER (checked by apt's signatures, nothing
# installed, dependencies not followed).
debian_packages() {
  local suite=$1 folder=$2 mirror scratch deb
  shift 2
  mirror=$(debian_mirror) || { say "no Debian mirror known: set VKBERT_DEBIAN_MIRROR"; return 1; }
  scratch=$(mktemp -d)
  mkdir -p "$scratch/state/lists/partial" "$scratch/cache/archives/partial" "$scratch/debs" "$folder"
  : >"$scratch/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$scratch/sources.list"
  cat >"$scratch/apt.conf" <<CONF
Dir::Etc::SourceList "$scratch/sources.list";
Dir::Etc::SourceParts "-";
Dir::Etc::PreferencesParts "-";
Dir::State "$scratch/state";
Dir::State::status "$scratch/status";
Dir::Cache "$scratch/cache";
Acquire::Languages "none";
APT::Sandbox::User "";
CONF
  if ! (cd "$scratch/debs" && export APT_CONFIG="$scratch/apt.conf" &&
    apt-get update -qq && apt-get download -qq "$@") </dev/null >"$scratch/log" 2>&1; then
    say "cannot get from Debian $suite: $*"
    tail -5 "$scratch/log" >&2
    rm -rf "$scratch"
    return 1
  fi
  for deb in "$scratch"/debs/*.deb; do dpkg -x "$deb" "$folder"; done
  rm -rf "$scratch"
}
