//! Clients that reach an origin in the test's own network.

use belljar_tests::{Outside, Project, Ran, repository};
use serde_json::Value;

use super::{allowed, records, refused, until_allowed};

/// A client: how it is built, how it is run, what it prints, and which program asks.
struct Client {
    build: &'static str,
    run: &'static str,
    host: &'static str,
    prints: &'static str,
    program: &'static str,
}

const PAGE: &str = "from outside";

/// A project with the clients' sources, built before (the build itself reaches nobody), and the
/// origin's authority.
fn project(outside: &Outside, client: &Client) -> Project {
    let project = Project::empty();
    project.add(repository().join("fixtures/outside"));
    project.write(
        "ca.pem",
        std::fs::read(outside.authority()).expect("its authority"),
    );
    if !client.build.is_empty() {
        let mut build = project.command("sh");
        build
            .args(["-ec", client.build])
            .env("GOCACHE", project.home().join("go"));
        Ran::of(&mut build).exits(0);
    }
    project
}

/// Refused, then let through by its own refusals; with the requests seen or not.
fn both_ways(client: &Client, more: &str) {
    let outside = Outside::new();
    outside.repository("repo.git");
    let project = project(&outside, client);
    let run = || outside.belljar(&project, ["run", "--", "sh", "-c", client.run]);
    let (ran, rules) = until_allowed(&project, run, more, |ran, records| {
        refused_by_name(client, ran, records);
        assert_eq!(outside.log(), [""; 0], "nothing reaches the origin");
    });
    assert!(
        ran.code == 0 && ran.stdout.contains(client.prints),
        "{rules}\n{ran}"
    );
    assert!(!outside.log().is_empty());
    let records = records(&project);
    let passed = allowed(&records);
    let of_it = passed.iter().find(|r| r["ask"]["host"] == client.host);
    let of_it = of_it.unwrap_or_else(|| panic!("{records:#?}"));
    asked_by(client, of_it);
    assert_eq!(refused(&records).len(), 0, "{records:#?}");
}

fn refused_by_name(client: &Client, ran: &Ran, records: &[Value]) {
    assert!(!ran.stdout.contains(client.prints), "{ran}");
    let refused = refused(records);
    let named = refused.iter().find(|r| r["ask"]["host"] == client.host);
    asked_by(client, named.unwrap_or_else(|| panic!("{records:#?}")));
}

fn asked_by(client: &Client, record: &Value) {
    let exe = record["proc"]["exe"].as_str().unwrap_or_default();
    assert!(exe.contains(client.program), "{record:#?}");
    assert!(record["proc"]["exe_sha256"].is_string(), "{record:#?}");
}

const CURL: Client = Client {
    build: "",
    run: "curl -sS --fail --cacert ca.pem --http1.1 https://files.example/file",
    host: "files.example",
    prints: PAGE,
    program: "curl",
};

#[test]
fn curl() {
    both_ways(&CURL, "");
}

#[test]
fn curl_inspected() {
    let client = Client {
        run: "curl -sS --fail https://files.example/file",
        ..CURL
    };
    both_ways(&client, "tls = \"inspect\"");
}

#[test]
fn curl_with_http2() {
    let client = Client {
        run: "curl -sS --fail --cacert ca.pem --http2 -w '%{http_version}\\n' https://files.example/file",
        prints: "2",
        ..CURL
    };
    both_ways(&client, "");
}

#[test]
fn curl_by_socks() {
    let client = Client {
        run: "curl -sS --fail --cacert ca.pem --noproxy '' -x \"${ALL_PROXY:-socks5h://127.66.0.1:1080}\" https://files.example/file",
        ..CURL
    };
    let outside = Outside::new();
    let project = project(&outside, &client);
    // Without a rule there is no door to ask at, so the name is never said: start with another rule.
    project.write(
        "belljar.toml",
        "[[egress.allow]]\nhost = \"other.example\"\n",
    );
    outside.belljar(&project, ["run", "--", "sh", "-c", client.run]);
    let of_it = records(&project);
    let socks = refused(&of_it)
        .into_iter()
        .find(|r| r["event"] == "socks")
        .cloned();
    assert_eq!(
        socks.unwrap_or_else(|| panic!("{of_it:#?}"))["ask"]["host"],
        "files.example"
    );
    project.write(
        "belljar.toml",
        "[[egress.allow]]\nhost = \"files.example\"\nports = [443]\naddresses = [\"192.0.2.10\"]\n",
    );
    let ran = outside.belljar(&project, ["run", "--", "sh", "-c", client.run]);
    assert!(ran.exits(0).stdout.contains(PAGE), "{ran}");
    let of_it = records(&project);
    let socks = allowed(&of_it).into_iter().find(|r| r["event"] == "socks");
    asked_by(&client, socks.unwrap_or_else(|| panic!("{of_it:#?}")));
}

#[test]
fn curl_that_heeds_no_proxy() {
    let client = Client {
        run: "curl -sS --fail --cacert ca.pem --noproxy '*' https://files.example/file",
        ..CURL
    };
    both_ways(&client, "");
}

#[test]
fn wget() {
    let client = Client {
        run: "wget -q -O - --ca-certificate=ca.pem https://files.example/file",
        program: "wget",
        ..CURL
    };
    both_ways(&client, "");
}

#[test]
fn git_clone_over_http() {
    let client = Client {
        run: "git clone -q http://git.example/git/repo.git cloned && cat cloned/file",
        host: "git.example",
        prints: "from a repository",
        program: "git",
        ..CURL
    };
    both_ways(&client, "methods = [\"GET\", \"POST\"]");
}

#[test]
fn git_clone_over_https_inspected() {
    let client = Client {
        run: "git clone -q https://git.example/git/repo.git cloned && cat cloned/file",
        host: "git.example",
        prints: "from a repository",
        program: "git",
        ..CURL
    };
    both_ways(&client, "tls = \"inspect\"\nmethods = [\"GET\", \"POST\"]");
}

#[test]
fn a_go_client() {
    let client = Client {
        build: "CGO_ENABLED=0 go build -o client client.go",
        run: "SSL_CERT_FILE=ca.pem ./client https://files.example/file",
        program: "client",
        ..CURL
    };
    both_ways(&client, "");
}

#[test]
fn a_java_client_that_knows_no_proxy() {
    let client = Client {
        build: "javac Client.java && keytool -importcert -noprompt -file ca.pem -keystore trust -storepass changeit -alias ca",
        run: "java -Djavax.net.ssl.trustStore=trust -Djavax.net.ssl.trustStorePassword=changeit Client https://files.example/file",
        program: "java",
        ..CURL
    };
    both_ways(&client, "");
}

#[test]
fn a_java_client_inspected() {
    let client = Client {
        build: "javac Client.java",
        run: "java Client https://files.example/file",
        program: "java",
        ..CURL
    };
    both_ways(&client, "tls = \"inspect\"");
}

#[test]
fn a_static_client_that_knows_no_proxy() {
    let client = Client {
        build: "musl-gcc -static -O1 -o client client.c",
        run: "./client files.example 80 /file",
        program: "client",
        ..CURL
    };
    both_ways(&client, "");
}

#[test]
fn a_redirect_is_followed_by_a_new_verdict() {
    let outside = Outside::new();
    let project = project(&outside, &CURL);
    project.write(
        "belljar.toml",
        "[[egress.allow]]\nhost = \"files.example\"\nports = [80]\naddresses = [\"192.0.2.10\"]\n",
    );
    let fetch = "curl -sS -L http://files.example/elsewhere";
    outside.belljar(&project, ["run", "--", "sh", "-c", fetch]);
    let of_it = records(&project);
    assert!(
        allowed(&of_it)
            .iter()
            .any(|r| r["ask"]["host"] == "files.example"),
        "{of_it:#?}"
    );
    assert!(
        refused(&of_it)
            .iter()
            .any(|r| r["ask"]["host"] == "denied.example"),
        "{of_it:#?}"
    );
    assert_eq!(outside.log().len(), 1, "{:?}", outside.log());
}
