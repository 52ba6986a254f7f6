//! Names to addresses, by the host's own files and servers, once for each look-up.
//!
//! It judges nothing: whoever dials looks at every address that comes from here.

use std::net::IpAddr;

use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, Resolver, TokioResolver};

use crate::{Host, ProxyError};

/// What was read of the host.
#[derive(Debug)]
pub(crate) struct Names {
    hosts: Hosts,
    servers: Option<(ResolverConfig, ResolverOpts)>,
}

/// Looks names up.
pub(crate) struct Lookup {
    hosts: Hosts,
    servers: Option<TokioResolver>,
}

impl Names {
    /// From the host's files.
    pub(crate) fn new(host: &Host) -> Result<Self, ProxyError> {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(host.hosts.as_slice()).map_err(|e| {
            ProxyError::new(
                format!("can't read the host's hosts file: {e}"),
                "write it in UTF-8",
            )
        })?;
        // Without a server only the hosts file is asked: behind an upstream proxy that is all there is.
        let servers = parse_resolv_conf(&host.resolv_conf).ok();
        Ok(Self { hosts, servers })
    }

    /// In a runtime.
    pub(crate) fn open(self) -> Result<Lookup, String> {
        let servers = self.servers.map(|(config, mut options)| {
            options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            options.use_hosts_file = ResolveHosts::Never;
            // The search list is of no use to a name that is whole.
            options.ndots = 0;
            Resolver::builder_with_config(config, TokioRuntimeProvider::default())
                .with_options(options)
                .build()
        });
        Ok(Lookup {
            hosts: self.hosts,
            servers: servers
                .transpose()
                .map_err(|e| format!("can't make a resolver: {e}"))?,
        })
    }
}

impl Lookup {
    /// All addresses of the name, or what is wrong with it.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let mut fqdn = Name::from_ascii(name).map_err(|_| "no name for DNS".to_owned())?;
        fqdn.set_fqdn(true);
        let of_file = self.in_hosts(&fqdn);
        if !of_file.is_empty() {
            return Ok(of_file);
        }
        let Some(servers) = &self.servers else {
            return Err("the host has no name server".into());
        };
        match servers.lookup_ip(fqdn).await {
            Ok(found) => {
                let mut all: Vec<IpAddr> = found.iter().collect();
                all.dedup();
                Ok(all)
            }
            Err(e) if e.is_nx_domain() => Err("NXDOMAIN".into()),
            Err(e) if e.is_no_records_found() => Err("the name has no address".into()),
            Err(hickory_resolver::net::NetError::Timeout) => {
                Err("the host's name server does not answer".into())
            }
            Err(_) => Err("the host's name server can't say".into()),
        }
    }

    fn in_hosts(&self, name: &Name) -> Vec<IpAddr> {
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|kind| {
                self.hosts
                    .lookup_static_host(&Query::query(name.clone(), kind))
            })
            .flat_map(|lookup| {
                let ips = lookup.answers().iter().filter_map(|r| r.data.ip_addr());
                ips.collect::<Vec<_>>()
            })
            .collect()
    }
}
