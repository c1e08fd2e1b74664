//! Routers as one configures them.

use std::net::IpAddr;
use std::time::Duration;
use weft_control::lisp::config::{
    Config, DatabaseMapping, Etr, EtrMapServer, Itr, MapResolver, MapServer, Place, Probing,
    Replay, Resolve, Rloc, Secret, Site,
};
use weft_fib::{Uplink, UplinkId};
use weft_packet::addr::{EidPrefix, InstanceId, SiteId, XtrId};
use weft_packet::lisp::Algorithm;

use crate::node::Node;
use crate::world::address;

pub(crate) fn eid(text: &str) -> EidPrefix {
    EidPrefix::new(InstanceId::DEFAULT, text.parse().unwrap())
}

/// A tunnel router to be.
pub(crate) struct Xtr {
    pub(crate) name: String,
    pub(crate) number: u64,
    pub(crate) eids: Vec<String>,
    pub(crate) rlocs: Vec<IpAddr>,
    pub(crate) map_servers: Vec<IpAddr>,
    pub(crate) map_resolvers: Vec<IpAddr>,
    pub(crate) proxy_reply: bool,
    pub(crate) ttl: Duration,
    pub(crate) probing: Option<Probing>,
}

impl Xtr {
    /// Site `number` holds 10.`number`.0.0/16 behind these RLOCs.
    pub(crate) fn new(number: u64, rlocs: &[&str], mapping_system: &[&str]) -> Self {
        let servers: Vec<_> = mapping_system.iter().map(|s| address(s)).collect();
        Self {
            name: format!("xtr{number}"),
            number,
            eids: vec![format!("10.{number}.0.0/16")],
            rlocs: rlocs.iter().map(|r| address(r)).collect(),
            map_servers: servers.clone(),
            map_resolvers: servers,
            proxy_reply: false,
            ttl: Duration::from_mins(3),
            probing: Some(Probing::default()),
        }
    }

    pub(crate) fn node(&self) -> Node {
        Node::new(&self.name, &self.rlocs, self.uplinks(), self.config())
    }

    fn uplinks(&self) -> Vec<Uplink> {
        let uplink = |(id, rloc): (u16, &IpAddr)| Uplink {
            id: UplinkId(id),
            rloc: *rloc,
            interface: u32::from(id),
            mtu: 1500,
            priority: 1,
            weight: 100,
            up: true,
        };
        (1..).zip(&self.rlocs).map(uplink).collect()
    }

    pub(crate) fn config(&self) -> Config {
        let mut xtr_id = [0; 16];
        xtr_id[8..].copy_from_slice(&self.number.to_be_bytes());
        Config {
            xtr_id: XtrId(xtr_id),
            site_id: SiteId(self.number),
            itr: Some(Itr {
                map_resolvers: self.map_resolvers.clone(),
                probing: self.probing,
                ..Itr::default()
            }),
            etr: Some(Etr {
                map_servers: self.map_servers.iter().map(|s| self.map_server(*s)).collect(),
                database: self.eids.iter().map(|e| self.mapping(e)).collect(),
                register_interval: Duration::from_mins(1),
                ..Etr::default()
            }),
            ..Config::default()
        }
    }

    fn map_server(&self, address: IpAddr) -> EtrMapServer {
        EtrMapServer {
            address,
            key: Secret::new("pears"),
            key_id: 0,
            algorithm: Algorithm::HmacSha256,
            truncate: false,
            proxy_reply: self.proxy_reply,
            want_notify: true,
            merge: false,
        }
    }

    fn mapping(&self, prefix: &str) -> DatabaseMapping {
        let rloc = |id: u16| Rloc::unicast(Place::Uplink(UplinkId(id)), 1, 100);
        let count = u16::try_from(self.rlocs.len()).unwrap();
        DatabaseMapping {
            eid: eid(prefix),
            rlocs: (1..=count).map(rloc).collect(),
            record_ttl: self.ttl,
            proxy_reply: None,
        }
    }
}

/// A Map-Server for everything in 10.0.0.0/8, and a Map-Resolver.
pub(crate) fn mapping_system(name: &str, at: &str, resolve: Resolve) -> Node {
    let config = Config {
        map_server: Some(MapServer { sites: vec![site()], ..MapServer::default() }),
        map_resolver: Some(MapResolver { resolve, negative_ttl: Duration::from_mins(15) }),
        ..Config::default()
    };
    Node::new(name, &[address(at)], Vec::new(), config)
}

/// One that registers with nobody and only asks others.
pub(crate) fn resolver(name: &str, at: &str, servers: &[&str]) -> Node {
    let servers = servers.iter().map(|s| (address(s), 4342).into()).collect();
    let resolve = Resolve::MapServers(servers);
    let config = Config {
        map_resolver: Some(MapResolver { resolve, negative_ttl: Duration::from_mins(15) }),
        ..Config::default()
    };
    Node::new(name, &[address(at)], Vec::new(), config)
}

fn site() -> Site {
    Site {
        name: "sites".to_owned(),
        eid_prefixes: vec![eid("10.0.0.0/8")],
        accept_more_specifics: true,
        keys: vec![(0, Secret::new("pears"))],
        algorithms: vec![Algorithm::HmacSha256],
        proxy_reply: false,
        merge: false,
        replay: Replay::Strict,
        allowed_rlocs: Vec::new(),
        allowed_itrs: Vec::new(),
        max_mappings: 100_000,
    }
}
