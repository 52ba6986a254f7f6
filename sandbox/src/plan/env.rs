//! The environment of a build: a short list of belljar's own, and what was declared.

use std::collections::BTreeMap;

use belljar_model::door::{HTTP_DOOR, SOCKS_DOOR};
use belljar_model::{EnvValue, OsText};

use super::identity::{HOME, USER};
use super::{Caller, PlanError, Request};

/// Variables that belljar sets itself, so that every build has the same.
const OWN: &[(&str, &str)] = &[
    (
        "PATH",
        "belljar makes it of the toolchains and the system's; set another in the command: `-- env PATH=... make`",
    ),
    ("HOME", "it is /home/builder in every build"),
    ("USER", "it is builder in every build"),
    ("LANG", "it is C.UTF-8 in every build; LC_ALL can be set"),
    ("TZ", "it is UTC in every build"),
    (
        "TERM",
        "it is the terminal's where there is one, and unset elsewhere",
    ),
    (
        "SOURCE_DATE_EPOCH",
        "it would hide what a pair looks for; `source_date_epoch` in belljar.toml sets it and lists it as held",
    ),
];

/// Variables that builds often depend on: named where they are not passed.
const OFTEN: &[&str] = &[
    "AR",
    "ARCH",
    "AS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CC",
    "CFLAGS",
    "CGO_ENABLED",
    "CI",
    "CMAKE_GENERATOR",
    "CMAKE_PREFIX_PATH",
    "CPATH",
    "CPPFLAGS",
    "CROSS_COMPILE",
    "CXX",
    "CXXFLAGS",
    "DEB_BUILD_OPTIONS",
    "DESTDIR",
    "GOARCH",
    "GOFLAGS",
    "GOOS",
    "GRADLE_OPTS",
    "JAVA_HOME",
    "JAVA_TOOL_OPTIONS",
    "LC_ALL",
    "LD",
    "LDFLAGS",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "MAKEFLAGS",
    "MAVEN_OPTS",
    "NODE_ENV",
    "NODE_OPTIONS",
    "PKG_CONFIG_PATH",
    "PREFIX",
    "PYTHONPATH",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "SOURCE_DATE_EPOCH",
];

/// Variables that a shell keeps for itself: not counted.
const SHELL: &[&str] = &["_", "LOGNAME", "OLDPWD", "PWD", "SHELL", "SHLVL"];

/// The whole environment, and what the caller should be told of the rest.
pub(super) struct Environment {
    /// By name.
    pub(super) vars: BTreeMap<OsText, EnvValue>,
    /// One line each.
    pub(super) notices: Vec<String>,
}

/// Makes the environment. `path` and `tools` come from the toolchains and caches.
pub(super) fn make(
    request: &Request,
    caller: &Caller,
    path: OsText,
    tools: impl IntoIterator<Item = (&'static str, EnvValue)>,
    date_epoch: Option<i64>,
) -> Result<Environment, PlanError> {
    let mut vars = BTreeMap::new();
    let mut own = |name: &str, value: OsText| {
        vars.insert(
            name.into(),
            EnvValue {
                value,
                public: true,
            },
        );
    };
    own("PATH", path);
    own("HOME", HOME.into());
    own("USER", USER.into());
    own("LANG", "C.UTF-8".into());
    own("TZ", "UTC".into());
    if request.skew.is_some() {
        // A pair has no terminal; its width must not be guessed.
        own("COLUMNS", "80".into());
    } else if let (true, Some(term)) = (caller.terminal, caller.var("TERM")) {
        own("TERM", term.into());
    }
    if let Some(seconds) = date_epoch {
        own("SOURCE_DATE_EPOCH", seconds.to_string().into());
    }
    vars.extend(tools.into_iter().map(|(name, value)| (name.into(), value)));
    let mut notices = Vec::new();
    for name in &request.pass_env {
        check(name)?;
        match caller.env.get(name.as_os_str()) {
            Some(value) => declare(&mut vars, name, value.as_os_str().into()),
            None => notices.push(format!("{name} is to be passed on and is not set")),
        }
    }
    for (name, value) in &request.env {
        check(name)?;
        declare(&mut vars, name, value.clone());
    }
    notices.extend(left_out(caller, &vars));
    Ok(Environment { vars, notices })
}

/// Where programs that know of proxies find the one there is, in both spellings. What stays inside
/// needs none.
pub fn proxy_variables() -> impl Iterator<Item = (OsText, EnvValue)> {
    let http = format!("http://{HTTP_DOOR}");
    let names = [
        ("http_proxy", http.clone()),
        ("https_proxy", http),
        // Names are looked up by the proxy.
        ("all_proxy", format!("socks5h://{SOCKS_DOOR}")),
        ("no_proxy", "localhost,127.0.0.1,::1,.localhost".into()),
    ];
    names.into_iter().flat_map(|(name, value)| {
        let value = EnvValue {
            value: value.as_str().into(),
            public: true,
        };
        let upper = name.to_ascii_uppercase();
        [(name.into(), value.clone()), (upper.as_str().into(), value)]
    })
}

fn declare(vars: &mut BTreeMap<OsText, EnvValue>, name: &OsText, value: OsText) {
    let hidden = EnvValue {
        value,
        public: false,
    };
    vars.insert(name.clone(), hidden);
}

/// Refuses a variable that is belljar's own.
fn check(name: &OsText) -> Result<(), PlanError> {
    let refused = |why| PlanError::Reserved {
        name: name.clone(),
        why,
    };
    if name.as_bytes().starts_with(b"BELLJAR_") {
        return Err(refused("names with BELLJAR_ are kept for belljar"));
    }
    match OWN
        .iter()
        .find(|(own, _)| own.as_bytes() == name.as_bytes())
    {
        Some((_, why)) => Err(refused(why)),
        None => Ok(()),
    }
}

fn left_out(caller: &Caller, vars: &BTreeMap<OsText, EnvValue>) -> Option<String> {
    let passed = |name: &OsText| vars.contains_key(name);
    let known = |list: &[&str], name: &OsText| list.iter().any(|k| k.as_bytes() == name.as_bytes());
    let rest: Vec<_> = caller
        .env
        .keys()
        .map(|n| OsText::from(n.as_os_str()))
        .filter(|n| !passed(n) && !known(SHELL, n) && n.as_bytes() != b"TERM")
        .collect();
    let often: Vec<_> = rest
        .iter()
        .filter(|n| known(OFTEN, n))
        .map(OsText::to_string)
        .collect();
    let count = match rest.len() {
        0 => return None,
        1 => "1 variable of your environment is not passed".to_owned(),
        n => format!("{n} variables of your environment are not passed"),
    };
    Some(if often.is_empty() {
        format!("{count} to the build")
    } else {
        format!(
            "{count} to the build, among them {}, which builds often use (--pass-env {})",
            often.join(", "),
            often[0]
        )
    })
}
