//! `storm`: one packet to each of many destinations, as a scanner or a worm would send. Nothing
//! answers; what the router does meanwhile is the question.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::udp::Pace;
use super::{Control, Error, Outcome, socket};
use crate::network::Network;
use crate::topology::Subnet;

/// `storm = { from, to, destinations, … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storm {
    /// The sending node.
    pub from: String,
    /// Where the destinations are.
    pub to: Subnet,
    /// How many there are, counted from the start of the subnet.
    pub destinations: u32,
    /// Packets a second.
    pub rate: u32,
}

/// The discard port.
const PORT: u16 = 9;

impl Storm {
    pub(super) fn run(&self, network: &Network, control: &Control) -> Result<Outcome, Error> {
        let any: IpAddr = match self.to.address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let sender = network.namespace(&self.from).enter(|| UdpSocket::bind((any, 0)));
        let sender = socket(format!("storm from {}", self.from), sender)?;
        let mut pace = Pace::new(self.rate);
        let (mut sent, mut failed) = (0_u32, 0_u32);
        let mut last_error: Option<io::Error> = None;
        for destination in (0..self.destinations).map_while(|number| self.to.nth(number)) {
            if control.stopped() {
                break;
            }
            pace.wait()?;
            match sender.send_to(&[0; 18], SocketAddr::new(destination, PORT)) {
                Ok(_) => sent += 1,
                Err(error) => {
                    failed += 1;
                    last_error = Some(error);
                }
            }
            control.answered();
        }
        let mut outcome = Outcome {
            summary: format!("{sent} destinations"),
            figures: [("sent", f64::from(sent))].into(),
            ..Outcome::default()
        };
        if let Some(error) = last_error {
            outcome.failures.push(format!("storm from {}: {failed} not sent: {error}", self.from));
        }
        Ok(outcome)
    }
}
