//! Takes the caller's home folder out of what is recorded: some tools can't be moved and keep their
//! place below it, and its path names the caller.

/// Writes every path below `home` as `$HOME/...`.
pub(crate) fn without(bytes: &[u8], home: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = find(rest, home) {
        let (before, found) = rest.split_at(at);
        out.extend_from_slice(before);
        rest = &found[home.len()..];
        let whole = rest.first().is_none_or(|b| !continues(*b));
        let last = out.last().copied();
        if whole && last.is_none_or(|b| begins_after(b, home)) {
            out.extend_from_slice(b"$HOME");
        } else {
            out.extend_from_slice(home);
        }
    }
    out.extend_from_slice(rest);
    out
}

fn find(bytes: &[u8], home: &[u8]) -> Option<usize> {
    bytes.windows(home.len()).position(|w| w == home)
}

/// Whether a name goes on with this byte.
fn continues(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || !byte.is_ascii()
}

/// Whether a path may begin after this byte. One as short as `/root` is a part of many others
/// (`/srv/root/x`), a longer one hardly: there `-isystem/home/ada/x` is what matters.
fn begins_after(byte: u8, home: &[u8]) -> bool {
    let short = home.iter().rposition(|b| *b == b'/') == Some(0);
    !short || !(byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_below_home_are_shown_without_it() {
        let table = [
            ("/home/ada", "/home/ada/.pyenv/x", "$HOME/.pyenv/x"),
            (
                "/home/ada",
                "-isystem/home/ada/inc:/home/ada",
                "-isystem$HOME/inc:$HOME",
            ),
            (
                "/home/ada",
                "/home/adam/x /home/ada.bak",
                "/home/adam/x /home/ada.bak",
            ),
            (
                "/root",
                "/root/.pyenv -I/root/x PATH=/root/bin:/root",
                "$HOME/.pyenv -I$HOME/x PATH=$HOME/bin:$HOME",
            ),
            (
                "/root",
                "/srv/root/x /rootfs /chroot/root",
                "/srv/root/x /rootfs /chroot/root",
            ),
        ];
        for (home, text, expected) in table {
            let out = without(text.as_bytes(), home.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    proptest! {
        #[test]
        fn a_long_home_never_shows(before in "[ -~]{0,20}", after in "[/:;, '\"][ -~]{0,20}") {
            let home = "/home/ada-lovelace";
            let out = without(format!("{before}{home}{after}").as_bytes(), home.as_bytes());
            prop_assert!(!String::from_utf8(out).unwrap().contains("ada-lovelace/"));
        }
    }
}
