//! Masks the obvious secrets in a command line before it becomes evidence.
//!
//! A list of the forms in which programs are commonly handed secrets, no detector: what looks like
//! any other word stays. It errs to the side of masking (`--tokenizer=x` is masked too), since an
//! argument that is missing costs a reader little. The forms:
//! - `scheme://USER:PASSWORD@host`, `scheme://TOKEN@host`: the whole part before the `@`;
//! - `--token=X`, `--token X`, `PASSWORD=X`, `?access_token=X&...`: any name with a word of
//!   [`SECRET`] in it, as an option, a variable or a parameter of a URL;
//! - `-u USER:PASSWORD`, `--user`, `--proxy-user`, `-U` as curl and wget have them;
//! - `Authorization: X`, `Cookie: X`, `Private-Token: X`: headers, to the end of the quoted text;
//! - values that start as the tokens of large services do ([`PREFIXES`]).
//!
//! The same forms are found inside one argument too (`sh -c "curl -u me:pw ..."`).

/// What stands in a secret's place.
const MASK: &[u8] = b"***";

/// Parts of a name whose value is a secret.
const SECRET: [&str; 16] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "api-key",
    "api_key",
    "access-key",
    "access_key",
    "private-key",
    "private_key",
    "credential",
    "signature",
    "authorization",
    "cookie",
];

/// Whole names whose value is a secret, and which as parts of others would be too common.
const SECRET_WHOLE: [&str; 6] = ["auth", "_auth", "pass", "pwd", "sig", "key"];

/// Options whose value is `USER:PASSWORD`.
const USER_OPTIONS: [&[u8]; 4] = [b"-u", b"-U", b"--user", b"--proxy-user"];

/// How the tokens of some services start: code forges, package registries, clouds, JSON web tokens.
const PREFIXES: [&[u8]; 12] = [
    b"ghp_",
    b"gho_",
    b"ghs_",
    b"github_pat_",
    b"glpat-",
    b"npm_",
    b"pypi-",
    b"xoxb-",
    b"xoxp-",
    b"AKIA",
    b"cio",
    b"eyJ",
];
/// A token is at least so long.
const TOKEN_LENGTH: usize = 20;

/// What the next word is, after some words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Anything.
    Plain,
    /// A secret option's value.
    Value,
    /// `USER:PASSWORD`, if there is a colon in it.
    User,
    /// A header's value, until a quote or the end of the argument.
    Header,
}

/// Masks a command line.
pub(crate) fn mask(args: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut next = Next::Plain;
    args.iter().map(|arg| mask_one(arg, &mut next)).collect()
}

fn mask_one(arg: &[u8], next: &mut Next) -> Vec<u8> {
    if let Some(kept) = whole(arg, *next) {
        *next = Next::Plain;
        return [&arg[..kept], MASK].concat();
    }
    let mut out = Vec::with_capacity(arg.len());
    let mut rest = arg;
    while !rest.is_empty() {
        let end = rest.iter().position(|b| separates(*b));
        let (word, tail) = rest.split_at(end.unwrap_or(rest.len()));
        if !word.is_empty() {
            mask_word(word, next, &mut out);
        }
        rest = tail;
        if let Some((separator, tail)) = rest.split_first() {
            if matches!(separator, b'"' | b'\'') && *next == Next::Header {
                *next = Next::Plain;
            }
            out.push(*separator);
            rest = tail;
        }
    }
    if *next == Next::Header {
        *next = Next::Plain;
    }
    out
}

/// For an argument that is a secret to its end, blanks and quotes included: how much of it is not.
fn whole(arg: &[u8], next: Next) -> Option<usize> {
    match next {
        Next::Value if !arg.starts_with(b"-") => return Some(0),
        Next::User if arg.contains(&b':') => return Some(0),
        _ => {}
    }
    let equals = arg.iter().position(|b| *b == b'=')?;
    let (name, value) = (&arg[..equals], &arg[equals + 1..]);
    let option = name.starts_with(b"-") && !name.contains(&b'?') && is_secret(name);
    (option && !value.is_empty()).then_some(equals + 1)
}

fn separates(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'`')
}

fn mask_word(word: &[u8], next: &mut Next, out: &mut Vec<u8>) {
    match *next {
        Next::Header => return out.extend_from_slice(MASK),
        // An option may follow where a value was expected: `--password --stdin`.
        Next::Value if !word.starts_with(b"-") => {
            *next = Next::Plain;
            return out.extend_from_slice(MASK);
        }
        Next::User if word.contains(&b':') => {
            *next = Next::Plain;
            return out.extend_from_slice(MASK);
        }
        Next::Plain | Next::Value | Next::User => *next = Next::Plain,
    }
    if USER_OPTIONS.contains(&word) {
        *next = Next::User;
    } else if let Some(joined) = joined_user(word) {
        out.extend_from_slice(&word[..joined]);
        return out.extend_from_slice(MASK);
    } else if let Some(colon) = header(word) {
        out.extend_from_slice(&word[..=colon]);
        if colon + 1 < word.len() {
            out.extend_from_slice(MASK);
        }
        *next = Next::Header;
        return;
    } else if word.starts_with(b"-") && !word.contains(&b'=') && is_secret(word) {
        *next = Next::Value;
    }
    mask_values(word, out);
}

/// `-uUSER:PASSWORD`: where the value begins.
fn joined_user(word: &[u8]) -> Option<usize> {
    let joined = [&b"-u"[..], b"--user=", b"--proxy-user="]
        .into_iter()
        .find(|o| word.starts_with(o))?;
    word[joined.len()..].contains(&b':').then_some(joined.len())
}

/// `Authorization:` and the like: where the colon is.
fn header(word: &[u8]) -> Option<usize> {
    let colon = word.iter().position(|b| *b == b':')?;
    let name = word[..colon].strip_prefix(b"-H").unwrap_or(&word[..colon]);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    // `file:secret` is no header, `C:` neither.
    let is_header = name.len() > 3 && name.iter().all(plain) && !word[colon..].starts_with(b"://");
    (is_header && is_secret(name)).then_some(colon)
}

/// Whether the value of this name is a secret.
fn is_secret(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let bare = name.trim_start_matches('-');
    let whole = bare.rsplit([':', '.']).next().unwrap_or(bare);
    SECRET.iter().any(|s| bare.contains(s)) || SECRET_WHOLE.contains(&whole)
}

/// Masks `NAME=VALUE` and the user part of URLs within a word.
fn mask_values(word: &[u8], out: &mut Vec<u8>) {
    if let Some(user) = user_part(word) {
        out.extend_from_slice(&word[..user.start]);
        out.extend_from_slice(MASK);
        return mask_values(&word[user.end..], out);
    }
    let Some(equals) = word.iter().position(|b| *b == b'=') else {
        return out.extend_from_slice(if is_token(word) { MASK } else { word });
    };
    let (name, value) = (&word[..equals], &word[equals + 1..]);
    // In a URL the name begins after the last `?` or `&`.
    let begins = name.iter().rposition(|b| matches!(b, b'?' | b'&' | b'#'));
    let secret = is_secret(&name[begins.map_or(0, |n| n + 1)..]);
    let end = value.iter().position(|b| *b == b'&').unwrap_or(value.len());
    out.extend_from_slice(name);
    out.push(b'=');
    if secret && !value.is_empty() {
        out.extend_from_slice(MASK);
        return mask_values(&value[end..], out);
    }
    mask_values(value, out);
}

/// Where the user part of a URL stands.
fn user_part(word: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = word.windows(3).position(|w| w == b"://")? + 3;
    let authority = word[start..]
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#'));
    let authority = &word[start..authority.map_or(word.len(), |n| start + n)];
    let at = authority.iter().rposition(|b| *b == b'@')?;
    // The user that forges use for everybody.
    (&authority[..at] != b"git" && at > 0 && &authority[..at] != MASK).then_some(start..start + at)
}

fn is_token(word: &[u8]) -> bool {
    word.len() >= TOKEN_LENGTH && PREFIXES.iter().any(|p| word.starts_with(p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(line: &[&str]) -> Vec<String> {
        let line: Vec<_> = line.iter().map(|a| a.as_bytes()).collect();
        mask(&line)
            .into_iter()
            .map(|a| String::from_utf8(a).unwrap())
            .collect()
    }

    const FORMS: [(&[&str], &[&str]); 27] = [
        (
            &["curl", "https://me:pw@host.example/x"],
            &["curl", "https://***@host.example/x"],
        ),
        (
            &["git", "clone", "https://abc123@host.example/r"],
            &["git", "clone", "https://***@host.example/r"],
        ),
        (
            &["git", "clone", "ssh://git@host.example/r"],
            &["git", "clone", "ssh://git@host.example/r"],
        ),
        (
            &["x", "a=1", "--index=http://u:p@h.example/?q=@1"],
            &["x", "a=1", "--index=http://***@h.example/?q=@1"],
        ),
        (&["npm", "--token=abc"], &["npm", "--token=***"]),
        (
            &["npm", "--token", "abc", "def"],
            &["npm", "--token", "***", "def"],
        ),
        (
            &["login", "--password", "--stdin"],
            &["login", "--password", "--stdin"],
        ),
        (
            &["npm", "--//r.example/:_authToken=abc"],
            &["npm", "--//r.example/:_authToken=***"],
        ),
        (
            &["env", "MY_SECRET=abc", "make", "CC=gcc"],
            &["env", "MY_SECRET=***", "make", "CC=gcc"],
        ),
        (
            &["curl", "-u", "me:pw", "h.example"],
            &["curl", "-u", "***", "h.example"],
        ),
        (
            &["curl", "-ume:pw", "h.example"],
            &["curl", "-u***", "h.example"],
        ),
        (&["curl", "--user=me:pw"], &["curl", "--user=***"]),
        (&["sort", "-u", "file"], &["sort", "-u", "file"]),
        (
            &["curl", "-H", "Authorization: Bearer abc def", "x"],
            &["curl", "-H", "Authorization: *** *** ***", "x"],
        ),
        (
            &["curl", "-HPrivate-Token:abc", "x"],
            &["curl", "-HPrivate-Token:***", "x"],
        ),
        (
            &["curl", "-H", "Accept: text/plain"],
            &["curl", "-H", "Accept: text/plain"],
        ),
        (
            &["curl", "https://h.example/?a=1&access_token=abc&b=2"],
            &["curl", "https://h.example/?a=1&access_token=***&b=2"],
        ),
        (
            &[
                "sh",
                "-c",
                "curl -u me:pw x && curl -H 'Cookie: a=b; c=d' y",
            ],
            &["sh", "-c", "curl -u *** x && curl -H 'Cookie: *** ***' y"],
        ),
        (
            &["sh", "-c", "TOKEN=abc make; echo done"],
            &["sh", "-c", "TOKEN=*** make; echo done"],
        ),
        (&["x", "ghp_0123456789abcdefghij"], &["x", "***"]),
        (
            &["x", "--flag=github_pat_0123456789abcdef"],
            &["x", "--flag=***"],
        ),
        (
            &["gcc", "-c", "a.c", "-o", "a.o", "-DX=1"],
            &["gcc", "-c", "a.c", "-o", "a.o", "-DX=1"],
        ),
        (
            &["rustc", "--extern", "token", "keymap.rs"],
            &["rustc", "--extern", "token", "keymap.rs"],
        ),
        (&["x", "--password="], &["x", "--password="]),
        (
            &["x", "--password=two words", "y"],
            &["x", "--password=***", "y"],
        ),
        (
            &["x", "--password", "two 'words", "y"],
            &["x", "--password", "***", "y"],
        ),
        (
            &["x", "--token=a,b;c", "--user", "me:a b"],
            &["x", "--token=***", "--user", "***"],
        ),
    ];

    #[test]
    fn the_forms() {
        for (line, expected) in FORMS {
            assert_eq!(masked(line), expected, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn a_secret_never_shows(secret in "S3cr3t[A-Za-z0-9+/]{6,40}", form in 0usize..9, before in "[a-z -]{0,20}") {
            let bare = secret.replace('/', "_");
            let line: Vec<String> = match form {
                0 => vec![format!("https://u:{bare}@h.example/")],
                1 => vec![format!("--api-key={secret}")],
                2 => vec!["--client-secret".into(), secret.clone()],
                3 => vec!["-u".into(), format!("me:{secret}")],
                4 => vec![format!("Authorization: Basic {secret}")],
                5 => vec!["sh".into(), "-c".into(), format!("curl -H \"X-Api-Key: {secret}\" x")],
                6 => vec![format!("DB_PASSWORD={secret}")],
                7 => vec![format!("git+https://{bare}@h.example/r.git#egg=x")],
                _ => vec![format!("https://h.example/?x=1&sig={secret}&y=2")],
            };
            let mut line = line;
            line.insert(0, before);
            let line: Vec<_> = line.iter().map(String::as_str).collect();
            for arg in masked(&line) {
                prop_assert!(!arg.contains("S3cr3t"), "{arg}");
            }
        }

        #[test]
        fn any_line_keeps_its_number_of_arguments(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8)) {
            let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(mask(&args).len(), args.len());
        }
    }
}
