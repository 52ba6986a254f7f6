//! The run's own authority. Its key is nowhere but in memory.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

use super::{ALPN, VERSIONS};

/// An authority with its policy's hosts is never longer.
const LONGEST: usize = 16 << 20;
/// Server certificates that are kept.
const MOST_LEAVES: usize = 1024;

/// Why there is no authority, or no certificate of it.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// It can't be made.
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// It can't be used.
    #[error("can't use a certificate: {0}")]
    Use(#[from] rustls::Error),
    /// What was handed over is no authority.
    #[error("what was handed over is no authority of a run")]
    HandedOver,
    /// It can't be handed over.
    #[error("can't hand it over: {0}")]
    File(#[from] io::Error),
}

/// The run's own authority.
pub struct Ca {
    pem: String,
    der: CertificateDer<'static>,
    hosts: Vec<String>,
    issuer: Issuer<'static, KeyPair>,
    leaf_key: KeyPair,
    leaves: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

// The key is not to be seen.
impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// An authority on its way from the first run of a pair to the next, through memory.
#[derive(Serialize, Deserialize)]
struct HandedOver {
    pem: String,
    der: Vec<u8>,
    key: Vec<u8>,
    hosts: Vec<String>,
}

impl Ca {
    /// Makes an authority that can speak for these hosts (as rules name them) and no other; for any
    /// host when there is none.
    pub fn make(hosts: &[String]) -> Result<Self, CaError> {
        let key = KeyPair::generate()?;
        let cert = params(hosts).self_signed(&key)?;
        Self::of(cert.pem(), cert.der().clone(), hosts.to_vec(), key)
    }

    /// Makes the authority of a run under this policy: for its rules' hosts, or for any while it is
    /// being learned.
    pub fn for_policy(policy: &belljar_model::Policy) -> Result<Self, CaError> {
        let mut hosts: Vec<String> = policy.allow.iter().map(|r| r.host.clone()).collect();
        hosts.sort();
        hosts.dedup();
        if policy.fetch == belljar_model::Fetch::Learn {
            hosts.clear();
        }
        Self::make(&hosts)
    }

    /// The certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Everything of it, its key too: only for memory that no build sees.
    fn to_bytes(&self) -> Vec<u8> {
        let all = HandedOver {
            pem: self.pem.clone(),
            der: self.der.to_vec(),
            key: self.issuer.key().serialize_der(),
            hosts: self.hosts.clone(),
        };
        serde_json::to_vec(&all).unwrap_or_default()
    }

    /// The one in the file; where that is empty, it is made and left there.
    pub fn shared(
        file: &File,
        make: impl FnOnce() -> Result<Self, CaError>,
    ) -> Result<Self, CaError> {
        let length = usize::try_from(file.metadata()?.len()).map_err(|_| CaError::HandedOver)?;
        if length == 0 {
            let made = make()?;
            file.write_all_at(&made.to_bytes(), 0)?;
            return Ok(made);
        }
        if length > LONGEST {
            return Err(CaError::HandedOver);
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        Self::from_bytes(&bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CaError> {
        let all: HandedOver = serde_json::from_slice(bytes).map_err(|_| CaError::HandedOver)?;
        let key = KeyPair::try_from(all.key).map_err(|_| CaError::HandedOver)?;
        Self::of(all.pem, all.der.into(), all.hosts, key)
    }

    fn of(
        pem: String,
        der: CertificateDer<'static>,
        hosts: Vec<String>,
        key: KeyPair,
    ) -> Result<Self, CaError> {
        Ok(Self {
            pem,
            der,
            issuer: Issuer::new(params(&hosts), key),
            hosts,
            leaf_key: KeyPair::generate()?,
            leaves: Mutex::default(),
        })
    }

    /// How a client is met that asked for this host (a name or an address).
    pub fn config(&self, host: &str) -> Result<Arc<ServerConfig>, CaError> {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = leaves.get(host) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.make_config(host)?);
        if leaves.len() >= MOST_LEAVES {
            leaves.clear();
        }
        leaves.insert(host.to_owned(), Arc::clone(&config));
        Ok(config)
    }

    fn make_config(&self, host: &str) -> Result<ServerConfig, CaError> {
        let mut params = dated(CertificateParams::default());
        params.subject_alt_names = vec![match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.try_into()?),
        }];
        // A common name holds no more than 64 characters, and nobody reads it.
        params
            .distinguished_name
            .push(DnType::CommonName, "belljar");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&self.leaf_key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(self.leaf_key.serialize_der());
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(&VERSIONS)?
                .with_no_client_auth()
                .with_single_cert(
                    vec![leaf.der().clone(), self.der.clone()],
                    PrivateKeyDer::Pkcs8(key),
                )?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_early_data_size = 0;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(config)
    }
}

/// Run B's clock is moved by years: whatever it says has to lie within.
fn dated(mut params: CertificateParams) -> CertificateParams {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = date_time_ymd(1990, 1, 1);
    params.not_after = date_time_ymd(2099, 12, 31);
    params
}

fn params(hosts: &[String]) -> CertificateParams {
    let mut params = dated(CertificateParams::default());
    params
        .distinguished_name
        .push(DnType::CommonName, "belljar: authority of this run");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.name_constraints = (!hosts.is_empty()).then(|| constraints(hosts));
    params
}

fn constraints(hosts: &[String]) -> NameConstraints {
    let mut permitted: Vec<GeneralSubtree> = hosts
        .iter()
        .map(|host| match host.parse::<IpAddr>() {
            Ok(address) => {
                let whole = if address.is_ipv4() { 32 } else { 128 };
                GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, whole))
            }
            // The constraint `suffix` holds for the suffix and all below it.
            Err(_) => GeneralSubtree::DnsName(host.trim_start_matches("*.").to_owned()),
        })
        .collect();
    permitted.dedup();
    // What no subtree of its kind permits is not constrained: the other kind has to be shut.
    let any = |v6: bool| {
        hosts
            .iter()
            .any(|h| h.parse().is_ok_and(|a: IpAddr| a.is_ipv6() == v6))
    };
    let mut excluded = Vec::new();
    if !any(false) && !any(true) {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(
            [0; 4], 0,
        )));
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(
            [0; 16], 0,
        )));
    }
    if hosts.iter().all(|h| h.parse::<IpAddr>().is_ok()) {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    NameConstraints {
        permitted_subtrees: permitted,
        excluded_subtrees: excluded,
    }
}
