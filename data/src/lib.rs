//! Who forwards: data planes that read the FIB and punt what it cannot answer.

pub mod ebpf;
pub mod pipeline;
pub mod tun;
