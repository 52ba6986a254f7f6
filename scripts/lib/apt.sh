# Sourced: an apt with sources and lists of its own, so that source packages and other suites can be
# fetched without touching the machine's configuration. It asks the mirrors that the machine's own
# apt is set up with, and no other.

# private_apt DIR TYPE SUITE...: sets the array `apt_options` for apt-get and fetches the lists.
private_apt() {
  local dir=$1 type=$2 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg; shift 2
  mirror=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI) $(RELEASE)' |
    awk '$1 == "Debian" && $3 == "main" && $2 == $5 { print $4; exit }')
  [ -n "$mirror" ] || { echo "no Debian mirror among this machine's apt sources (apt-get update was never run?)" >&2; return 1; }
  mkdir -p "$dir"/{sources,lists/partial,archives/partial}
  {
    echo "Types: $type"
    echo "URIs: $mirror"
    echo "Suites: $*"
    echo "Components: main"
    [ ! -f "$keyring" ] || echo "Signed-By: $keyring"
  } >"$dir/sources/private.sources"
  apt_options=(-q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$dir/sources"
    -o "Dir::State::lists=$dir/lists" -o "Dir::Cache::archives=$dir/archives"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=)
  apt-get "${apt_options[@]}" -q update >"$dir/update.log" 2>&1 || { cat "$dir/update.log" >&2; return 1; }
}

# debian_codename: of this machine's own release.
debian_codename() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release; }
