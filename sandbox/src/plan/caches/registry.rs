//! Which registry a cache is of. Tools find nothing in a cache under another registry's address,
//! so where the caller has configured one, its address is passed on: the address alone, never a
//! token or a password.

use std::path::Path;

use toml::{Table, Value};

use crate::plan::{Caller, View};

/// The registry that npm is configured for, if it is not the public one.
pub(super) fn npm(caller: &Caller, view: &dyn View) -> Option<String> {
    if let Some(url) = caller.var("npm_config_registry") {
        return plain(url.to_str()?);
    }
    let rc = view.small(&caller.home()?.join(".npmrc"))?;
    String::from_utf8(rc).ok()?.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "registry").then(|| plain(value.trim()))?
    })
}

/// The parts of cargo's configuration that name sources and registries.
pub(super) fn cargo(home: &Path, view: &dyn View) -> Option<String> {
    let text = ["config.toml", "config"]
        .iter()
        .find_map(|name| view.small(&home.join(name)))?;
    let config: Table = toml::from_str(std::str::from_utf8(&text).ok()?).ok()?;
    let mut kept = Table::new();
    // `directory`, `local-registry` and git sources are paths of the host or other caches.
    for (table, keys) in [
        ("source", ["replace-with", "registry"]),
        ("registries", ["index", "protocol"]),
    ] {
        let named = config.get(table).and_then(Value::as_table);
        for (name, source) in named.into_iter().flatten() {
            let fields: Table = keys
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), source.get(key)?.as_str()?)))
                .filter_map(|(key, value)| Some((key, Value::String(plain(value)?))))
                .collect();
            if !fields.is_empty() {
                let into = kept
                    .entry(table)
                    .or_insert_with(|| Value::Table(Table::new()));
                into.as_table_mut()?
                    .insert(name.clone(), Value::Table(fields));
            }
        }
    }
    (!kept.is_empty()).then(|| toml::to_string(&kept).ok())?
}

/// An address without credentials in it. A value that another variable fills in is none.
fn plain(value: &str) -> Option<String> {
    let authority = value.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    (!authority.contains('@') && !value.contains("${")).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::facts::made_up::MadeUp;

    #[test]
    fn cargo_keeps_addresses_and_no_secrets() {
        let text = "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\n\
                    registry = \"sparse+https://mirror.test/index/\"\n[source.local]\n\
                    directory = \"/home/ada/vendor\"\n[registries.own]\n\
                    index = \"https://git:secret@own.test/\"\ntoken = \"secret\"\n\
                    [registry]\ntoken = \"secret\"\n[build]\nrustflags = \"-g\"\n";
        let view = MadeUp::new(&[("/c/config.toml", text)]);
        let kept = cargo(Path::new("/c"), &view).unwrap();
        assert_eq!(
            kept,
            "[source.crates-io]\nreplace-with = \"mirror\"\n\n[source.mirror]\n\
             registry = \"sparse+https://mirror.test/index/\"\n"
        );
        let view = MadeUp::new(&[("/c/config.toml", "[build]\njobs = 2\n")]);
        assert_eq!(cargo(Path::new("/c"), &view), None);
    }

    #[test]
    fn npm_keeps_the_registry_alone() {
        let rc = "//npm.test/:_authToken=secret\nregistry = https://npm.test/\n";
        let view = MadeUp::new(&[("/home/ada/.npmrc", rc)]);
        let caller = MadeUp::caller(&[]);
        assert_eq!(npm(&caller, &view).as_deref(), Some("https://npm.test/"));
        let view = MadeUp::new(&[("/home/ada/.npmrc", "registry=https://u:p@npm.test/\n")]);
        assert_eq!(npm(&caller, &view), None);
        assert_eq!(npm(&caller, &MadeUp::new(&[])), None);
    }
}
