//! `schema/` is generated from the model: this test writes the schemas anew, compares, and proves
//! that documents follow them. `BELLJAR_UPDATE=1 cargo test -p belljar-model --test schema`
//! rewrites the folder.

#![expect(
    clippy::unwrap_used,
    reason = "a test: what can not be unwrapped is a failure"
)]

use std::path::PathBuf;

use belljar_model::{
    CheckDoc, CleanDoc, Differences, DoctorDoc, EgressRecord, Manifest, Plan, ReportDoc, ResultDoc,
    SecurityManifest, SelfTest,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

/// One kind of document.
struct Kind {
    /// `belljar.NAME/VERSION`.
    schema: &'static str,
    /// Where a command leaves such a document.
    written_as: &'static [&'static str],
    /// One sentence.
    about: &'static str,
    make: fn() -> Schema,
}

fn root<T: JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<T>()
}

const KINDS: [Kind; 11] = [
    Kind {
        schema: ResultDoc::SCHEMA,
        written_as: &["result.json"],
        about: "The verdict and what it rests on; the commit point of an evidence folder.",
        make: root::<ResultDoc>,
    },
    Kind {
        schema: Plan::SCHEMA,
        written_as: &["result.json, under \"plan\""],
        about: "The frozen request, whose SHA-256 is the plan digest.",
        make: root::<Plan>,
    },
    Kind {
        schema: Manifest::SCHEMA,
        written_as: &["determinism/manifest-a.json", "determinism/manifest-b.json"],
        about: "The outputs of one run with their digests.",
        make: root::<Manifest>,
    },
    Kind {
        schema: Differences::SCHEMA,
        written_as: &["determinism/differences.json"],
        about: "The outputs that are not the same in both runs, and why.",
        make: root::<Differences>,
    },
    Kind {
        schema: EgressRecord::SCHEMA,
        written_as: &["security/egress.ndjson, one a line"],
        about: "A call that names a destination, with the process that made it.",
        make: root::<EgressRecord>,
    },
    Kind {
        schema: SelfTest::SCHEMA,
        written_as: &["security/selftest.json"],
        about: "Probes made inside the same sandbox before the command.",
        make: root::<SelfTest>,
    },
    Kind {
        schema: SecurityManifest::SCHEMA,
        written_as: &["security/manifest.json"],
        about: "What the security folder holds, with digests, so that a gate can tell whole from cut.",
        make: root::<SecurityManifest>,
    },
    Kind {
        schema: ReportDoc::SCHEMA,
        written_as: &["belljar explain --format json"],
        about: "A result with its differences, and what in its folder does not belong to it.",
        make: root::<ReportDoc>,
    },
    Kind {
        schema: DoctorDoc::SCHEMA,
        written_as: &["belljar doctor --json"],
        about: "Which walls stand on this host, and what is missing.",
        make: root::<DoctorDoc>,
    },
    Kind {
        schema: CleanDoc::SCHEMA,
        written_as: &["belljar clean --json"],
        about: "What dead runs had left and is gone.",
        make: root::<CleanDoc>,
    },
    Kind {
        schema: CheckDoc::SCHEMA,
        written_as: &["belljar egress check --json"],
        about: "What the policy makes of one request, and what would allow it.",
        make: root::<CheckDoc>,
    },
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schema")
}

impl Kind {
    /// `belljar.result/1` is described in `result-1.json`.
    fn file(&self) -> String {
        let name = self.schema.strip_prefix("belljar.").unwrap_or(self.schema);
        format!("{}.json", name.replace('/', "-"))
    }
    /// The generated schema, with the document's name pinned.
    fn generate(&self) -> Value {
        let mut value = (self.make)().to_value();
        value["title"] = json!(self.schema);
        value["properties"]["schema"] = json!({ "const": self.schema });
        value
    }
}

fn registry() -> Value {
    let kinds = KINDS.iter().map(|k| {
        json!({
            "schema": k.schema,
            "file": k.file(),
            "written_as": k.written_as,
            "about": k.about,
        })
    });
    json!({ "schema": "belljar.registry/1", "documents": kinds.collect::<Vec<_>>() })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[test]
fn the_committed_schemas_are_those_of_the_model() {
    let mut wanted: Vec<(String, String)> = KINDS
        .iter()
        .map(|k| (k.file(), pretty(&k.generate())))
        .collect();
    wanted.push(("registry.json".into(), pretty(&registry())));
    if std::env::var_os("BELLJAR_UPDATE").is_some() {
        for (name, text) in &wanted {
            std::fs::write(folder().join(name), text).unwrap();
        }
    }
    for (name, text) in &wanted {
        let found = std::fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert!(
            found == *text,
            "schema/{name} is not what the model says: BELLJAR_UPDATE=1 cargo test -p belljar-model --test schema"
        );
    }
    let mut names: Vec<_> = wanted.into_iter().map(|(name, _)| name).collect();
    names.sort();
    let mut there: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(there, names, "a file in schema/ that no document has");
}

fn validator(kind: &Kind) -> jsonschema::Validator {
    jsonschema::draft202012::new(&kind.generate()).unwrap()
}

#[test]
fn every_schema_refuses_another_documents_name() {
    for kind in &KINDS {
        let v = validator(kind);
        assert!(
            !v.is_valid(&json!({ "schema": "belljar.other/1" })),
            "{}",
            kind.schema
        );
        assert!(!v.is_valid(&json!({})), "{}", kind.schema);
    }
}

mod samples;

/// Each sample follows its schema, comes back as the value it was, and is refused once any of its
/// required top-level fields is gone.
#[test]
fn documents_follow_their_schemas() {
    for (schema, sample) in samples::all() {
        let kind = KINDS.iter().find(|k| k.schema == schema).unwrap();
        let v = validator(kind);
        let errors: Vec<_> = v
            .iter_errors(&sample)
            .map(|e| format!("{e} at {}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{schema}: {errors:?}\n{sample:#}");
        let required = kind.generate()["required"].clone();
        for field in required.as_array().unwrap() {
            let mut less = sample.clone();
            less.as_object_mut()
                .unwrap()
                .remove(field.as_str().unwrap());
            assert!(!v.is_valid(&less), "{schema} without {field}");
        }
    }
}

#[test]
fn each_kind_has_a_sample() {
    for kind in &KINDS {
        assert!(
            samples::all().iter().any(|(s, _)| *s == kind.schema),
            "{}",
            kind.schema
        );
    }
}
