use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::Relaxed;

use aya::programs::{TestRun, TestRunOptions};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use weft_packet::ip::checksum::Sum;

use super::super::LEAST;
use super::*;

#[test]
fn interfaces_whose_numbers_meet_have_a_place_each() {
    let Some((mut loaded, _)) = with_processors(1) else { return };
    let meeting = |nth: u32| 5 + nth * 16384;
    let port = |ifindex| Port { ifindex, instance: 0, flags: Port::ENCAP, id: 0 };
    for ifindex in (0..8).map(meeting) {
        loaded.set_port(ifindex, Some(port(ifindex))).unwrap();
    }
    let refused = loaded.set_port(meeting(8), Some(port(meeting(8)))).unwrap_err();
    assert!(refused.to_string().contains("near to each other"), "{refused}");
    loaded.set_port(meeting(2), None).unwrap();
    loaded.set_port(meeting(7), Some(port(meeting(7)))).unwrap();
    loaded.set_port(meeting(8), Some(port(meeting(8)))).unwrap();
    let mut there: Vec<_> =
        Port::places(5).map(|place| split(first(loaded.port(0, place)))[0]).collect();
    there.sort_unstable();
    assert_eq!(there, [0, 1, 3, 4, 5, 6, 7, 8].map(meeting));
}

#[test]
fn tables_too_large_for_the_kernel_are_named() {
    if with_processors(1).is_none() {
        return;
    }
    let huge = Capacities { nodes: u32::MAX, ..LEAST };
    let Err(refusal) = Loaded::new(&huge) else { panic!("four terabytes") };
    assert!(refusal.to_string().contains("`nodes`"), "{refusal}");
}

#[test]
fn answers_about_neighbours_are_all_kept() {
    let hosts_of_a_network = |n| [10, 2, 0, n];
    let networks_of_a_site = |n| [10, 2, n, 1];
    for address in [hosts_of_a_network, networks_of_a_site] {
        let Some((mut loaded, storage)) = with_processors(processors()) else { return };
        set_port(&mut loaded, Port::ENCAP);
        for n in 0..=u8::MAX {
            run(&mut loaded, last_processor(), &frame(NOTHING, address(n), &[]));
        }
        assert_eq!(answers(&storage).len(), 256, "as {:?}", address(7));
    }
}

#[test]
fn answers_about_one_family_are_none_about_the_other() {
    let Some((mut loaded, storage)) = with_processors(processors()) else { return };
    set_port(&mut loaded, Port::ENCAP);
    run(&mut loaded, last_processor(), &frame(NOTHING, [10, 2, 0, 2], &[]));
    let before = answers(&storage);
    let header = [0x60, 0, 0, 0, 0, 0, NOTHING, 64];
    let [source, destination] = [[10, 1, 0, 1], [10, 2, 0, 2]].map(|octets: [u8; 4]| {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&octets);
        address
    });
    let alike = [&[0; 12][..], &[0x86, 0xdd], &header, &source, &destination].concat();
    run(&mut loaded, last_processor(), &alike);
    assert_ne!(answers(&storage), before);
}

#[test]
fn datagrams_reach_the_sockets_on_a_processor_without_tables() {
    let last = last_processor();
    if last == 0 {
        return println!("skipped: the first processor always has tables");
    }
    for having_tables in [last, last + 1] {
        let Some((mut loaded, _)) = with_processors(having_tables) else { return };
        set_port(&mut loaded, Port::DECAP);
        loaded.set_config(Config { flags: Config::STEER, generation: 1, ..Config::default() });
        let ours = Ipv4Addr::from(LOCAL).to_ipv6_mapped().octets();
        loaded.set_local(ours, true).unwrap();
        let [source, to, length, checksum] = [50_000, DATA_PORT, 16, 0].map(u16::to_be_bytes);
        let unknown = [0xff; 8];
        let datagram = [&source[..], &to, &length, &checksum, &unknown].concat();
        let left = run(&mut loaded, last, &frame(UDP, LOCAL, &datagram));
        assert_eq!(left[34..36], [0, 0], "the source port, with tables for {having_tables}");
        assert_eq!(left[36..], datagram[2..]);
    }
}

const LOCAL: [u8; 4] = [192, 0, 2, 1];
const DATA_PORT: u16 = 4341;
const UDP: u8 = 17;
/// The protocol of packets with nothing in them.
const NOTHING: u8 = 59;

/// The program, with tables for the first so many processors; `None` where we may load none.
fn with_processors(processors: u32) -> Option<(Loaded, Storage)> {
    match Loaded::with_processors(processors, &LEAST) {
        Ok(both) => Some(both),
        Err(refusal @ (Refusal::NotPermitted(_) | Refusal::Forbidden | Refusal::NoBpf)) => {
            println!("skipped: {refusal}");
            None
        }
        Err(refusal) => panic!("{refusal}"),
    }
}

/// Makes the loopback interface one of ours: packets of a test come in there.
fn set_port(loaded: &mut Loaded, flags: u32) {
    loaded.set_config(Config { generation: 1, ..Config::default() });
    loaded.set_port(1, Some(Port { ifindex: 1, instance: 0, flags, id: 0 })).unwrap();
}

/// The last processor that this thread may use.
fn last_processor() -> u32 {
    let ours = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let last = (0..CpuSet::count()).rev().find(|number| ours.is_set(*number).unwrap());
    last.unwrap().try_into().unwrap()
}

/// Has the program see a frame on a processor, and gives what it leaves of it.
fn run(loaded: &mut Loaded, processor: u32, frame: &[u8]) -> Vec<u8> {
    let this_thread = Pid::from_raw(0);
    let before = sched_getaffinity(this_thread).unwrap();
    let mut only = CpuSet::new();
    only.set(processor as usize).unwrap();
    sched_setaffinity(this_thread, &only).unwrap();
    let mut left = vec![0; frame.len()];
    let options =
        TestRunOptions { data_in: Some(frame), data_out: Some(&mut left), ..TestRunOptions::new() };
    loaded.program().unwrap().test_run(options).unwrap();
    sched_setaffinity(this_thread, &before).unwrap();
    left
}

/// An IPv4 packet from 10.1.0.1 in an Ethernet frame.
fn frame(protocol: u8, to: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(20 + payload.len()).unwrap();
    let mut header = [0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 1, 0, 1, 0, 0, 0, 0];
    header[16..].copy_from_slice(&to);
    let checksum = Sum::ZERO.with(&header).checksum();
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    [&[0; 12][..], &[0x08, 0x00], &header, payload].concat()
}

/// The answers about pairs of hosts that the program keeps.
fn answers(storage: &Storage) -> Vec<Vec<u64>> {
    let all = storage.processors() * storage.records(Table::Verdicts);
    let records = (0..all).map(|index| storage.words(Table::Verdicts, index));
    let records = records.map(|words| words.iter().map(|word| word.load(Relaxed)).collect());
    records.filter(|record: &Vec<u64>| record.iter().any(|word| *word != 0)).collect()
}
