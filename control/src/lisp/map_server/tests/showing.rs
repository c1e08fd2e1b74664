//! What operators see.

use super::super::RegistrationFilter;
use super::*;

const ETR: &str = "203.0.113.1";

#[test]
fn sites_tell_who_is_there_and_since_when() {
    let mut world = World::new(servers(vec![
        site("site1", &["192.168.1.0/24"]),
        config::Site { accept_more_specifics: true, ..site("mobile", &["192.168.77.0/24"]) },
        site("osaka", &["192.168.3.0/24"]),
    ]));
    world.register(ETR, vec![record("192.168.3.0/24", &[ETR])]);
    world.pass(secs(420));
    let host = |n: u8| record(&format!("192.168.77.{n}"), &[ETR]);
    world.register(ETR, vec![record("192.168.1.0/24", &[ETR])]);
    world.register(ETR, vec![host(1), host(2), host(3)]);
    world.pass(secs(12));

    let sites: Vec<_> = world.server.sites(world.now, None).collect();
    assert!(sites[0].registered);
    assert_eq!((sites[0].last, sites[0].by.as_deref()), (Some(12.0), Some(ETR)));
    assert_eq!(sites[0].locators[0].rloc, ETR);
    assert_eq!((sites[1].registered, sites[1].more_specifics), (false, 3));
    assert_eq!((sites[2].lost, sites[2].lost_ago), (Some("expired"), Some(252.0)));
    assert_eq!((sites[2].last, sites[2].by.as_deref()), (Some(432.0), Some(ETR)));
    assert_eq!(world.server.sites(world.now, Some("osaka")).count(), 1);

    world.register(ETR, vec![record("192.168.3.0/24", &[ETR])]);
    assert_eq!(world.server.sites(world.now, Some("osaka")).next().unwrap().lost, None);
}

#[test]
fn mappings_come_in_pages() {
    let prefixes = ["10.0.0.0/8", "[7]10.0.0.0/8", "2001:db8::/32"];
    let mut world = World::with_site(&prefixes, |site| site.accept_more_specifics = true);
    let mut records: Vec<_> = (0..5).map(|n| record(&format!("10.0.0.{n}"), &[ETR])).collect();
    records.extend([record("2001:db8::1", &[ETR]), record("[7]10.0.0.1", &[ETR])]);
    world.register(ETR, records);

    let page = |filter: &RegistrationFilter| -> Vec<String> {
        world.server.mappings(world.now, filter).take(3).map(|m| m.eid_prefix).collect()
    };
    let (mut filter, mut seen) = (RegistrationFilter::default(), Vec::new());
    loop {
        let found = page(&filter);
        let Some(last) = found.last() else { break };
        filter.after = Some(eid(last));
        seen.extend(found);
    }
    assert_eq!(
        seen,
        [
            "10.0.0.0/32",
            "10.0.0.1/32",
            "10.0.0.2/32",
            "10.0.0.3/32",
            "10.0.0.4/32",
            "2001:db8::1/128",
            "[7]10.0.0.1/32",
        ]
    );
    let within = RegistrationFilter { within: Some(eid("10.0.0.2/31")), ..Default::default() };
    assert_eq!(page(&within), ["10.0.0.2/32", "10.0.0.3/32"]);
    let instance = RegistrationFilter { instance: InstanceId::new(7), ..Default::default() };
    assert_eq!(page(&instance), ["[7]10.0.0.1/32"]);
    let site = RegistrationFilter { site: Some("other".into()), ..Default::default() };
    assert_eq!(page(&site), [""; 0]);
}

#[test]
fn status_is_kebab_case_text_and_seconds() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    world.join(1, ETR, true, vec![record("10.1.0.0/16", &[ETR])]);
    world.send_register(ETR, &MapRegister::default(), KEY);
    world.pass(secs(5));
    let mapping = world.server.mapping(world.now, eid("10.1.2.3")).unwrap();
    let json = serde_json::to_value(mapping).unwrap();
    assert_eq!(json["eid-prefix"], "10.1.0.0/16");
    assert_eq!(json["record-ttl"], 86_400.0);
    assert_eq!(json["registrations"][0]["last"], 5.0);
    assert_eq!(json["registrations"][0]["expires"], 175.0);
    assert_eq!(
        json["registrations"][0]["xtr"],
        "01010101010101010101010101010101-0000000000000001"
    );
    let json = serde_json::to_value(world.server.status()).unwrap();
    assert_eq!(json["counters"]["map-registers"], 2);
    assert_eq!(json["refused"][0], serde_json::json!(["inconsistent", 1]));
    let case = world.server.refused().recent().next().unwrap().status(world.now);
    assert_eq!(serde_json::to_value(case).unwrap()["reason"], "inconsistent");
}
