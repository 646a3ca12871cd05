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
# machine visible there, read-only, under the same name; +PATH also for writing. Mounts live in a mount namespace of their own:
# none is left behind.
inside() {
  local folder=$1 paths=()
  shift
  while [ "$1" != -- ]; do
    case $1 in +*) paths+=("+$(realpath "${1#+}")") ;; *) paths+=("$(realpath "$1")") ;; esac
    shift
  done
  shift
  # shellcheck disable=SC2016  # expanded inside
  as_root unshare --mount --propagation private bash -c '
    set -eu
    folder=$1; count=$2; shift 2
    mount -t proc proc "$folder/proc"
    mount --rbind /dev "$folder/dev"
    for ((i = 0; i < count; i++)); do
      options=remount,bind,ro
      case $1 in +*) options=remount,bind,rw; set -- "${1#+}" "${@:2}" ;; esac
      if [ -d "$1" ]; then mkdir -p "$folder$1"; else mkdir -p "$(dirname "$folder$1")"; [ -e "$folder$1" ] || touch "$folder$1"; fi
      mount --bind "$1" "$folder$1"
      mount -o "$options" "$folder$1"
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

# borrowed_libraries FOLDER PROGRAM: puts the libraries that the program needs and the folder's Debian has under another name or not
# at all into the folder's /opt/borrowed.
borrowed_libraries() {
  local name
  as_root mkdir -p "$1/opt/borrowed"
  inside "$1" "$(dirname "$2")" -- env LD_LIBRARY_PATH=/opt/borrowed ldd "$2" 2>/dev/null | awk '/not found/ { print $1 }' |
    while read -r name; do
      as_root cp -L "$(ldd "$2" | awk -v name="$name" '$1 == name { print $3 }')" "$1/opt/borrowed/$name"
    done
}

# icd_manifest LIBRARY FILE: a loader manifest that points to that driver.
icd_manifest() {
  printf '{ "file_format_version": "1.0.0", "ICD": { "library_path": "%s", "api_version": "1.3.0" } }\n' "$1" | as_root tee "$2" >/dev/null
}

# compile_devices: one line a device whose real compiler runs without the device:
#   name | what it is | libraries to preload | settings of shim and driver | manifest of the driver      (paths inside the trixie folder)
compile_devices() {
  local libraries icd=/usr/share/vulkan/icd.d name title chip ada
  libraries=/usr/lib/$(uname -m)-linux-gnu
  while IFS='|' read -r name title; do
    # RADV has VK_NV_cooperative_matrix2 only for programs that its configuration names, or when told.
    echo "$name|$title|$libraries/libamdgpu_noop_drm_shim.so|AMDGPU_GPU_ID=$name radv_cooperative_matrix2_nv=true|$icd/radeon_icd.json"
  done <<'AMD'
polaris10|AMD Radeon RX 580 (GCN 4)
vega10|AMD Radeon RX Vega 64 (GCN 5)
navi21|AMD Radeon RX 6800 (RDNA 2)
navi31|AMD Radeon RX 7900 XTX (RDNA 3)
gfx1201|AMD Radeon RX 9070 XT (RDNA 4)
strix1|AMD Radeon 890M (RDNA 3.5)
AMD
  while IFS='|' read -r name title; do
    echo "$name|$title|/opt/intel/libintel_noop_drm_shim.so|INTEL_STUB_GPU_PLATFORM=$name|/opt/intel/icd.json"
  done <<'INTEL'
tgl|Intel Iris Xe (Tiger Lake)
dg2|Intel Arc A770M (Alchemist)
lnl|Intel Arc 140V (Lunar Lake)
bmg|Intel Arc B580 (Battlemage)
INTEL
  for chip in 630 740 830; do
    echo "adreno$chip|Qualcomm Adreno $chip|$libraries/libfreedreno_noop_drm_shim.so|FD_GPU_ID=$chip|$icd/freedreno_icd.json"
  done
  while IFS='|' read -r chip title; do
    ada=''
    [ "$chip" != 190 ] || ada='/opt/nouveau_ada.so '
    echo "nvk$chip|$title|$ada$libraries/libnouveau_noop_drm_shim.so|NOUVEAU_CHIPSET=$chip|$icd/nouveau_icd.json"
  done <<'NVK'
120|NVIDIA Maxwell (GTX 900), NVK
160|NVIDIA Turing (RTX 20), NVK
170|NVIDIA Ampere (RTX 30), NVK
190|NVIDIA Ada (RTX 40), NVK
NVK
  echo "m1|Apple M1, Honeykrisp|$libraries/libasahi_noop_drm_shim.so|VKBERT_LAB_DEVICE=m1|$icd/asahi_icd.json"
  local mali='PAN_GPU_ID=0xa867 PAN_I_WANT_A_BROKEN_VULKAN_DRIVER=1 BIFROST_MESA_DEBUG=shaderdb'
  echo "malig610|ARM Mali-G610, PanVK|/opt/panvk/libpanfrost_noop_drm_shim.so|$mali|/opt/panvk/icd.json"
}

# print_table: lines of fields separated by | become columns.
print_table() {
  awk -F '|' '
    { lines = NR; if (NF > columns) columns = NF
      for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } }
    END { for (r = 1; r <= lines; r++) { for (i = 1; i <= columns; i++) printf "%-" width[i] + 2 "s", cell[r, i]; print "" } }'
}
