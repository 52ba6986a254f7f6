//! What makes programs in the sandbox trust the run's own authority beside the host's roots: a PEM
//! bundle, a Java trust store, and the variables and places by which programs find them.
//!
//! Pure: bytes come in, bytes go out, the same for the same certificates.

use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Variables that name a PEM bundle which replaces, or is added to, what a program trusts.
pub const BUNDLE_VARIABLES: [(&str, &str); 17] = [
    (
        "SSL_CERT_FILE",
        "OpenSSL and all on it, Go, rustls-native-certs (uv, cargo's children), Ruby, Nix",
    ),
    (
        "CURL_CA_BUNDLE",
        "curl, whatever TLS library it was built with",
    ),
    (
        "GIT_SSL_CAINFO",
        "git, which does not hand curl's variable on",
    ),
    (
        "GIT_PROXY_SSL_CAINFO",
        "git, for a proxy that it reaches by TLS",
    ),
    (
        "CARGO_HTTP_CAINFO",
        "cargo, whose own curl may know no system bundle",
    ),
    (
        "NODE_EXTRA_CA_CERTS",
        "Node, which has roots of its own and adds these",
    ),
    (
        "npm_config_cafile",
        "npm, whose registry client sets its own list",
    ),
    ("PIP_CERT", "pip, which has roots of its own"),
    (
        "REQUESTS_CA_BUNDLE",
        "Python's requests, which has roots of its own",
    ),
    (
        "HTTPLIB2_CA_CERTS",
        "Python's httplib2, which has roots of its own",
    ),
    ("AWS_CA_BUNDLE", "botocore, which has roots of its own"),
    (
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        "gRPC, which has roots of its own",
    ),
    ("PERL_LWP_SSL_CA_FILE", "Perl's LWP"),
    ("COMPOSER_CAFILE", "Composer, which has roots of its own"),
    ("BUNDLE_SSL_CA_CERT", "Bundler"),
    (
        "HEX_CACERTS_PATH",
        "Hex and Mix, which have roots of their own",
    ),
    (
        "DENO_CERT",
        "Deno, which has roots of its own and adds these",
    ),
];

/// What Java is told by `JAVA_TOOL_OPTIONS`: it reads no PEM and no other variable.
pub fn java_options(store: &str) -> String {
    format!("-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword={JAVA_PASSWORD}")
}

/// Where distributions keep the bundle that programs read without being told (wget, apt: GnuTLS has
/// no variable). Where one exists, the bundle is to be seen in its place.
pub const BUNDLE_PLACES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// Where distributions keep the trust store of Java.
pub const JAVA_PLACES: [&str; 2] = [
    "/etc/ssl/certs/java/cacerts",
    "/etc/pki/ca-trust/extracted/java/cacerts",
];

/// What every Java knows as the password of a trust store, which guards nothing.
pub const JAVA_PASSWORD: &str = "changeit";

/// The certificate that this PEM text begins with.
pub fn certificate(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

/// The host's roots and the run's authority, as PEM.
pub fn bundle(roots: &[CertificateDer<'_>], authority: &CertificateDer<'_>) -> String {
    let mut text = String::new();
    for cert in roots.iter().chain([authority]) {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let body = data_encoding::BASE64.encode(cert);
        let mut rest = body.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            let _ = writeln!(text, "{line}");
            rest = after;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// The same as a Java key store of version 2 (JKS), which every Java since 1.2 reads whatever type
/// it was told. Its moments are all the epoch, so that the same roots give the same bytes.
pub fn java_store(roots: &[CertificateDer<'_>], authority: &CertificateDer<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&0xfeed_feed_u32.to_be_bytes());
    out.extend_from_slice(&2_u32.to_be_bytes());
    out.extend_from_slice(&length(roots.len() + 1));
    let named = roots
        .iter()
        .enumerate()
        .map(|(n, cert)| (format!("host-{n:04}"), cert))
        .chain([("belljar".to_owned(), authority)]);
    for (alias, cert) in named {
        out.extend_from_slice(&2_u32.to_be_bytes());
        text(&mut out, &alias);
        out.extend_from_slice(&0_u64.to_be_bytes());
        text(&mut out, "X.509");
        out.extend_from_slice(&length(cert.len()));
        out.extend_from_slice(cert);
    }
    // JKS is closed by SHA-1 of the password, these words and the rest.
    let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    for unit in JAVA_PASSWORD.encode_utf16() {
        digest.update(&unit.to_be_bytes());
    }
    digest.update(b"Mighty Aphrodite");
    digest.update(&out);
    out.extend_from_slice(digest.finish().as_ref());
    out
}

fn length(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes()
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
