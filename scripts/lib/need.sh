# Sourced by scripts/test: what each tier needs on the machine, and how it gets there.

# tier, command that proves it is there, Debian package
needs='
all     cc                  build-essential
all     python3             python3
all     setpriv             util-linux
userns  strace              strace
userns  gdb                 gdb
userns  musl-gcc            musl-tools
userns  go                  golang-go
userns  java                default-jdk-headless
userns  node                nodejs
userns  perl                perl
userns  ip                  iproute2
root    bindfs              bindfs
root    perl                perl
vm      qemu-system-x86_64  qemu-system-x86
vm      busybox             busybox-static
vm      cpio                cpio
vm      xz                  xz-utils
e2e     dpkg-source         dpkg-dev
e2e     git                 git
e2e     jq                  jq
e2e     curl                curl
e2e     wget                wget
e2e     openssl             openssl
e2e     ip                  iproute2
e2e     musl-gcc            musl-tools
e2e     go                  golang-go
e2e     javac               default-jdk-headless
e2e     npm                 npm
e2e     ccache              ccache
e2e     cmake               cmake
e2e     ninja               ninja-build
e2e     dh                  debhelper
e2e     fakeroot            fakeroot
e2e     mksquashfs          squashfs-tools
e2e     cpio                cpio
e2e     zip                 zip
e2e     /usr/lib/python3/dist-packages/pip         python3-pip
e2e     /usr/lib/python3/dist-packages/setuptools  python3-setuptools
e2e     /usr/lib/python3/dist-packages/wheel       python3-wheel
'

# Runs its arguments with the rights that installing needs.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo -n "$@"; else return 77; fi
}

present() { case $1 in /*) [ -e "$1" ];; *) command -v "$1" >/dev/null;; esac; }

# need_tools TIER...: installs what these tiers lack, or says what to install and ends the script.
need_tools() {
  local tier probe package missing=()
  while read -r tier probe package; do
    [ -n "$tier" ] || continue
    case " all $* " in *" $tier "*) ;; *) continue;; esac
    present "$probe" || case " ${missing[*]:-} " in *" $package "*) ;; *) missing+=("$package");; esac
  done <<<"$needs"
  if [ ${#missing[@]} -gt 0 ]; then
    say "missing packages: ${missing[*]}"
    local how="sudo apt-get install --no-install-recommends ${missing[*]}"
    as_root true || die "only root may install them; run: $how"
    say "installing them with apt-get"
    { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2; } ||
      die "apt-get could not install them; run: $how"
  fi
  command -v cargo >/dev/null || die "no cargo: install Rust with rustup, then run this again"
  cargo_tool cargo-nextest nextest
  [ -z "$whole" ] || cargo_tool cargo-deny deny
}

# cargo_tool CRATE SUBCOMMAND
cargo_tool() {
  ! cargo "$2" --version >/dev/null 2>&1 || return 0
  say "missing: cargo $2; installing it with cargo install $1 --locked"
  cargo install --quiet --locked "$1" || die "can't install $1; run: cargo install --locked $1"
}

# tier_blocked TIER: fails and prints why if this tier can't run here.
tier_blocked() {
  case $1 in
    root) [ "$(id -u)" -eq 0 ] || { echo "needs root"; return 1; };;
  esac
}
