//! The configuration as `path = value` lines: what `weft config show` prints and a diff compares.
//! Secrets are never in them, but a changed secret is a changed line.

use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use weft_control::lisp::config as lisp;
use weft_fib::EidKey;
use weft_packet::lisp::Algorithm;

use super::resolved::{Config, UplinkNames, UplinkPlace};
use super::section::short;

/// One key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As the manual names it; items of lists are named by what identifies them.
    pub path: String,
    /// As it would be written.
    pub value: String,
}

/// Every key of `config` that is set, or has a default.
pub fn lines(config: &Config, names: &UplinkNames) -> Vec<Line> {
    let mut out = Lines { names, lines: Vec::new() };
    out.text("node.name", &config.node.name);
    out.text("node.xtr-id", config.lisp.xtr_id);
    out.value("node.site-id", config.lisp.site_id.0);
    out.text("log.level", &config.log.level);
    for instance in &config.instances {
        let path = format!("vpn.{}", instance.name);
        out.value(&format!("{path}.instance-id"), instance.id);
        out.list(&format!("{path}.interfaces"), &instance.interfaces);
    }
    out.data_plane(config);
    if let Some(itr) = &config.lisp.itr {
        out.itr(itr);
    }
    if let Some(etr) = &config.lisp.etr {
        out.etr(etr);
    }
    if let Some(map_server) = &config.lisp.map_server {
        out.map_server(map_server);
    }
    if let Some(map_resolver) = &config.lisp.map_resolver {
        out.map_resolver(map_resolver);
    }
    out.list("map-server.listen", &config.control_listen);
    out.text("management.socket", config.management.socket.display());
    out.text("management.state", config.management.state.display());
    out.value("management.event-history", config.management.event_history);
    out.lines
}

struct Lines<'a> {
    names: &'a UplinkNames,
    lines: Vec<Line>,
}

impl Lines<'_> {
    fn value(&mut self, path: &str, value: impl Display) {
        self.lines.push(Line { path: path.to_owned(), value: value.to_string() });
    }

    fn text(&mut self, path: &str, value: impl Display) {
        self.value(path, format_args!("\"{value}\""));
    }

    fn list(&mut self, path: &str, values: &[impl Display]) {
        if values.is_empty() {
            return;
        }
        let quoted: Vec<_> = values.iter().map(|value| format!("\"{value}\"")).collect();
        self.value(path, format_args!("[{}]", quoted.join(", ")));
    }

    fn duration(&mut self, path: &str, value: Duration) {
        self.value(path, format_args!("\"{}\"", short(value)));
    }

    fn data_plane(&mut self, config: &Config) {
        let plane = &config.data_plane;
        self.text("dataplane.driver", format!("{:?}", plane.driver).to_lowercase());
        self.text("dataplane.encapsulation", config.lisp.encapsulation);
        self.text("dataplane.device", &plane.device);
        self.text("dataplane.punt-rate", format_args!("{}/s", plane.punt_rate));
        self.text("dataplane.first-packet", format!("{:?}", plane.first_packet).to_lowercase());
        self.value("dataplane.first-packet-queue", plane.first_packet_queue);
        self.or_word("dataplane.mtu", plane.mtu, "auto");
        self.or_word("dataplane.ttl", plane.ttl, "copy");
        self.or_word("dataplane.dscp", plane.dscp, "copy");
        self.or_word("dataplane.queues", plane.queues, "auto");
        let tell = plane.on_too_big == super::OnTooBig::Tell;
        self.value("dataplane.path-mtu-discovery", tell);
        let clamp = match plane.mss_clamp {
            super::MssClamp::Off => "\"off\"".to_owned(),
            super::MssClamp::Auto => "\"auto\"".to_owned(),
            super::MssClamp::At(octets) => octets.to_string(),
        };
        self.value("dataplane.mss-clamp", clamp);
        self.text("dataplane.source-check", format!("{:?}", plane.source_check).to_lowercase());
        self.list("dataplane.join-plain-lisp", &plane.join_plain_lisp);
        self.value("dataplane.table", plane.table);
        self.value("dataplane.rule-priority", plane.rule_priority);
        self.value("dataplane.set-sysctls", plane.set_sysctls);
        let on_exit = format!("{:?}", plane.on_exit.unwrap_or_default()).to_lowercase();
        self.text("dataplane.on-exit", on_exit);
        self.text("dataplane.pin-path", plane.pin_path.display());
    }

    fn or_word(&mut self, path: &str, value: Option<impl Display>, word: &str) {
        match value {
            Some(value) => self.value(path, value),
            None => self.text(path, word),
        }
    }

    fn itr(&mut self, itr: &lisp::Itr) {
        self.list("itr.map-resolvers", &itr.map_resolvers);
        self.value("itr.proxy", itr.proxy);
        self.value("itr.map-request-retries", itr.map_request_retries);
        self.list("itr.allowed-eids", &itr.allowed_eids);
        self.value("itr.map-cache-limit", itr.map_cache_limit);
        self.duration("itr.idle-timeout", itr.idle_timeout);
        self.duration("itr.max-ttl", itr.max_ttl);
        match itr.probing {
            None => self.value("itr.rloc-probing", false),
            Some(probing) => {
                self.duration("itr.rloc-probing.interval", probing.interval);
                self.duration("itr.rloc-probing.retry-interval", probing.retry_interval);
                self.value("itr.rloc-probing.retries", probing.retries);
            }
        }
        for petr in &itr.proxy_etrs {
            let family = match (petr.ipv4, petr.ipv6) {
                (true, false) => "ipv4",
                (false, true) => "ipv6",
                _ => "any",
            };
            let value = format!(
                "{{ family = \"{family}\", priority = {}, weight = {} }}",
                petr.priority, petr.weight
            );
            self.value(&format!("itr.proxy-etr.{}", petr.address), value);
        }
        self.statics("itr.static-map-cache", &itr.static_map_cache);
    }

    fn etr(&mut self, etr: &lisp::Etr) {
        self.value("etr.proxy", etr.proxy);
        self.duration("etr.register-interval", etr.register_interval);
        self.list("etr.proxy-itrs", &etr.proxy_itrs);
        for server in &etr.map_servers {
            let path = format!("etr.map-server.{}", server.address);
            self.secret(&format!("{path}.key"), &server.key);
            self.value(&format!("{path}.key-id"), server.key_id);
            self.text(&format!("{path}.algorithm"), algorithm(server.algorithm));
            self.value(&format!("{path}.truncate-mac"), server.truncate);
            self.value(&format!("{path}.proxy-reply"), server.proxy_reply);
            self.value(&format!("{path}.want-map-notify"), server.want_notify);
            self.value(&format!("{path}.merge"), server.merge);
        }
        for mapping in &etr.database {
            let path = format!("etr.database-mapping.{}", mapping.eid);
            let rlocs = self.rlocs(&mapping.rlocs);
            self.value(&format!("{path}.rlocs"), rlocs);
            self.duration(&format!("{path}.record-ttl"), mapping.record_ttl);
            if let Some(proxy_reply) = mapping.proxy_reply {
                self.value(&format!("{path}.proxy-reply"), proxy_reply);
            }
        }
    }

    fn map_server(&mut self, map_server: &lisp::MapServer) {
        self.duration("map-server.registration-timeout", map_server.registration_timeout);
        for site in &map_server.sites {
            let path = format!("map-server.site.{}", site.name);
            self.list(&format!("{path}.eid-prefixes"), &site.eid_prefixes);
            for (id, key) in &site.keys {
                self.secret(&format!("{path}.keys.{id}"), key);
            }
            let algorithms: Vec<_> = site.algorithms.iter().map(|a| algorithm(*a)).collect();
            self.list(&format!("{path}.algorithms"), &algorithms);
            self.value(&format!("{path}.accept-more-specifics"), site.accept_more_specifics);
            self.value(&format!("{path}.proxy-reply"), site.proxy_reply);
            self.value(&format!("{path}.merge"), site.merge);
            self.text(&format!("{path}.replay"), format!("{:?}", site.replay).to_lowercase());
            self.list(&format!("{path}.allowed-rlocs"), &site.allowed_rlocs);
            self.list(&format!("{path}.allowed-itrs"), &site.allowed_itrs);
            self.value(&format!("{path}.max-mappings"), site.max_mappings);
        }
        self.statics("map-server.static-mapping", &map_server.static_mappings);
    }

    fn map_resolver(&mut self, map_resolver: &lisp::MapResolver) {
        match &map_resolver.resolve {
            lisp::Resolve::Local => self.text("map-resolver.resolve", "local"),
            lisp::Resolve::MapServers(servers) => {
                let servers: Vec<IpAddr> = servers.iter().map(std::net::SocketAddr::ip).collect();
                self.list("map-resolver.map-servers", &servers);
            }
        }
        self.duration("map-resolver.negative-ttl", map_resolver.negative_ttl);
    }

    fn statics(&mut self, path: &str, mappings: &[lisp::StaticMapping]) {
        for mapping in mappings {
            let value = if mapping.rlocs.is_empty() {
                format!("action {:?}", mapping.action)
            } else {
                self.rlocs(&mapping.rlocs)
            };
            let key = EidKey { eid: mapping.eid, from: mapping.from };
            self.value(&format!("{path}.{key}"), value);
        }
    }

    fn rlocs(&self, rlocs: &[lisp::Rloc]) -> String {
        let shown: Vec<_> = rlocs
            .iter()
            .map(|rloc| format!("{} {}/{}", self.place(&rloc.place), rloc.priority, rloc.weight))
            .collect();
        format!("[{}]", shown.join(", "))
    }

    fn place(&self, place: &lisp::Place) -> String {
        match place {
            lisp::Place::Address { rloc, local: true } => rloc.to_string(),
            lisp::Place::Address { rloc, local: false } => format!("{rloc} (not ours)"),
            lisp::Place::Uplink(id) => match self.names.name(*id) {
                Some(UplinkPlace::Interface { name, ipv6: None }) => name.clone(),
                Some(UplinkPlace::Interface { name, ipv6: Some(true) }) => format!("{name} ipv6"),
                Some(UplinkPlace::Interface { name, ipv6: Some(false) }) => format!("{name} ipv4"),
                Some(UplinkPlace::Address(address)) => address.to_string(),
                None => format!("uplink {}", id.0),
            },
        }
    }

    /// A mark that changes when the secret does, and tells nothing else: keyed at random for
    /// each run.
    fn secret(&mut self, path: &str, secret: &lisp::Secret) {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        let hash = KEY.get_or_init(RandomState::new).hash_one(secret.expose());
        self.value(path, format_args!("\u{2026} (set {:04x})", hash & 0xffff));
    }
}

fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HmacSha1 => "hmac-sha-1-96",
        Algorithm::HmacSha256 => "hmac-sha-256-128",
        Algorithm::HmacSha256Hkdf => "hmac-sha-256-128-hkdf",
        Algorithm::None | Algorithm::Unknown(_) => "none",
    }
}
