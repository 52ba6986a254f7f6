//! What each reason means and what to do about it, once for the documents, the reports and SARIF.

use crate::Reason;

impl Reason {
    /// What it means, in a phrase.
    pub fn meaning(self) -> &'static str {
        self.told().0
    }

    /// What to do about it, in a phrase.
    pub fn remedy(self) -> &'static str {
        self.told().1
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::HostNotAllowed => ("no rule allows the host", "add a rule for the host"),
            Self::PortNotAllowed => (
                "a rule allows the host, and not this port",
                "add the port to the rule",
            ),
            Self::MethodNotAllowed => (
                "a rule allows the host, and not this method",
                "add the method to the rule's `methods`",
            ),
            Self::PathNotAllowed => (
                "a rule allows the host, and not this path",
                "add the path to the rule's `paths`",
            ),
            Self::Allowed => ("a rule allows it", "nothing: it is allowed"),
            Self::Learned => (
                "it was let through to be learned",
                "nothing: `belljar egress learn` writes the rule",
            ),
            Self::Replayed => (
                "it was served from run A's recording",
                "nothing: it did not leave",
            ),
            Self::IpLiteral => (
                "the call names an address, and no rule names that address",
                "ask for a name that a rule allows, or add a rule for the address and let the program use the proxy",
            ),
            Self::PrivateAddress => (
                "a private, link-local, multicast, broadcast or reserved address, or a name that resolves to one",
                "list it in the rule's `addresses` if the build needs an inner service",
            ),
            Self::MetadataAddress => (
                "where clouds tell a machine its identity and secrets",
                "none: no rule allows it",
            ),
            Self::SelfAddress => (
                "an address of the machine that belljar runs on",
                "list it in the rule's `addresses` if it is not a public one; else serve it from another machine",
            ),
            Self::EmbedV6 => (
                "an IPv6 address that carries an IPv4 address (NAT64, 6to4, mapped)",
                "use the IPv4 address or the name",
            ),
            Self::RebindingMismatch => (
                "the peer is not the address that was checked",
                "none: whoever serves the name is not to be trusted",
            ),
            Self::NoAnswer => (
                "the name does not resolve",
                "check the name, and the host's resolver",
            ),
            Self::Unreachable => (
                "the destination could not be reached",
                "check the destination, and the host's proxy variables",
            ),
            Self::SniMissing => (
                "a TLS hello without a server's name",
                "let the client send one; `raw = true` on a port of its own lets it pass unread",
            ),
            Self::SniMismatch => (
                "the TLS hello names another server than was asked for",
                "ask for the server by the name that it is connected to",
            ),
            Self::AuthorityMismatch => (
                "two places of a request name different hosts",
                "let the client send one host",
            ),
            Self::EchPresent => (
                "an encrypted hello, whose name can't be read",
                "turn encrypted hellos off in the client",
            ),
            Self::NotTls => (
                "not TLS where TLS is expected",
                "`raw = true` in the rule lets anything pass, unseen (`run` only)",
            ),
            Self::TlsOld => (
                "a version of TLS before 1.2",
                "use a client that speaks TLS 1.2",
            ),
            Self::BadRequest => (
                "what came is no well-formed request",
                "mend the client; `exchange.detail` has the parser's word",
            ),
            Self::SmugglingSuspect => (
                "two readers could see two requests",
                "mend the client; `exchange.detail` has the parser's word",
            ),
            Self::UpgradeDenied => (
                "a change of protocol that no rule allows",
                "`websocket = true` in the rule, if it is one",
            ),
            Self::FormDenied => (
                "a form of request, or a command, that this door does not take",
                "use CONNECT, or `http://` in full, at the HTTP door; CONNECT without a password at the SOCKS door",
            ),
            Self::DnsNameDenied => (
                "a name was asked for that no rule allows; `ask.host` is the name",
                "add a rule for the name",
            ),
            Self::DnsTypeDenied => (
                "a DNS question that is not about an address",
                "none: only addresses are answered",
            ),
            Self::DohSuspect => (
                "a name look-up inside HTTP",
                "let the program use the sandbox's resolver",
            ),
            Self::AfDenied => (
                "an address of a family that is not Internet, local or netlink",
                "none: the wall has no such sockets",
            ),
            Self::RawSocket => (
                "a raw or packet socket",
                "none: the wall has no such sockets",
            ),
            Self::UdpNoRoute => (
                "a datagram to an address",
                "none: datagrams do not leave; use TCP",
            ),
            Self::UnixSocketDenied => (
                "a local socket that is not there inside, such as a container engine's",
                "none: start what it needs inside the build",
            ),
            Self::BudgetExceeded => (
                "a limit on bytes is used up",
                "raise the rule's `max_up` or `max_down`, or the run's `total_bytes`",
            ),
            Self::Timeout => (
                "it took too long",
                "try again; a limit of `[egress.limits]` if the server is known to be slow",
            ),
            Self::Overload => (
                "too many connections at one time",
                "raise `connections` in `[egress.limits]`",
            ),
            Self::ReplayMiss => (
                "not in the recording of run A: the build does not ask for the same twice",
                "find what makes the request depend on the time, or on chance",
            ),
            Self::SecretMisroute => (
                "a credential's header in a request that it is not bound to",
                "let belljar put the credential in, and take it out of the build",
            ),
            Self::UpstreamTls => (
                "the server's certificate, or its TLS, is not good",
                "mend the server; a private authority has to be in the host's trust store",
            ),
            Self::UpstreamError => (
                "the server's answer is not well formed",
                "mend the server; `exchange.detail` has the parser's word",
            ),
            Self::CaNotTrusted => (
                "the client does not trust the run's own authority",
                "let it read `SSL_CERT_FILE`, or use `tls = \"tunnel\"` in the rule (`run` only)",
            ),
            Self::ClientGone => (
                "the client left before it had an answer",
                "nothing, if the build bears it",
            ),
            Self::Telemetry => (
                "a known address of usage statistics",
                "turn the statistics off; a rule for the host allows them",
            ),
            Self::Inside => ("it stays inside: nothing to decide", "nothing"),
            Self::Unknown => ("the address could not be read", "none: it did not leave"),
        }
    }
}
