//! The process of a wire: one loop over its TAP devices, its socket and the next arrival.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::switch::Switch;
use super::tap::Tap;
use super::{Specification, order};
use crate::action::LinkChange;
use crate::network::Namespace;

/// Frames taken from one device before the others get their turn.
const BATCH: usize = 64;

struct Wire {
    specification: Specification,
    switch: Switch,
    taps: Vec<Tap>,
    orders: UnixListener,
}

/// Runs the wire that the file at `specification` describes, until the process is ended.
pub fn run(specification: &Path) -> io::Result<()> {
    let text = fs::read_to_string(specification)?;
    let mut wire = Wire::new(serde_json::from_str(&text)?)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        wire.wait()?;
        wire.collect(&mut buffer)?;
        while let Some((end, frame)) = wire.switch.arrived(Instant::now()) {
            wire.taps[end].write(&frame);
        }
        wire.take_orders()?;
    }
}

impl Wire {
    fn new(specification: Specification) -> io::Result<Self> {
        let taps = specification
            .ends
            .iter()
            .map(|end| Tap::create(&Namespace::named(&end.namespace), &specification.link))
            .collect::<io::Result<Vec<Tap>>>()?;
        let switch = Switch::new(taps.len(), specification.impairment.clone());
        let orders = UnixListener::bind(&specification.socket)?;
        orders.set_nonblocking(true)?;
        Ok(Self { specification, switch, taps, orders })
    }

    /// Waits for a frame, an order, or the next arrival.
    fn wait(&self) -> io::Result<()> {
        let limit = self
            .switch
            .next_arrival()
            .map(|at| TimeSpec::from(at.saturating_duration_since(Instant::now())));
        let fds = self.taps.iter().map(Tap::as_fd).chain([self.orders.as_fd()]);
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match ppoll(&mut fds, limit, None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn collect(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let now = Instant::now();
        for (end, tap) in self.taps.iter().enumerate() {
            for _ in 0..BATCH {
                let Some(frame) = tap.read(buffer)? else { break };
                self.switch.frame(now, end, frame);
            }
        }
        Ok(())
    }

    fn take_orders(&mut self) -> io::Result<()> {
        match self.orders.accept() {
            Ok((stream, _)) => {
                // a caller that went away in the middle harms nobody
                let _caller_left = order::take(stream, |change| self.obey(change));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn obey(&mut self, change: &LinkChange) -> Result<(), String> {
        match change {
            LinkChange::Down(node) => self.cut(node, true)?,
            LinkChange::Up(node) => self.cut(node, false)?,
            LinkChange::Blackhole(node) => self.switch.set_blackholed(self.end(node)?, true),
            LinkChange::Heal(node) => self.switch.set_blackholed(self.end(node)?, false),
            LinkChange::Delay(delay) => self.switch.impairment.delay = *delay,
            LinkChange::Loss(loss) => self.switch.impairment.loss = *loss,
            LinkChange::Rate(rate) => self.switch.impairment.rate = *rate,
            LinkChange::Mtu(_) => return Err("the MTU belongs to the nodes' interfaces".into()),
        }
        Ok(())
    }

    fn cut(&mut self, node: &str, cut: bool) -> Result<(), String> {
        let end = self.end(node)?;
        self.taps[end].set_carrier(!cut).map_err(|error| error.to_string())?;
        self.switch.set_cut(end, cut);
        Ok(())
    }

    fn end(&self, node: &str) -> Result<usize, String> {
        let mut ends = self.specification.ends.iter();
        ends.position(|end| end.node == node).ok_or_else(|| format!("no end is at `{node}`"))
    }
}
