//! Streams in plain LISP, joined as well: a program at the card itself says of their packets what
//! is in them, in the form of LISP-GPE, before the kernel joins anything (`prepass.h`).

use std::collections::BTreeSet;

use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, Xdp};

use super::attached::{Attached, Unserved};
use super::pins::Pins;
use super::probe::{Refusal, sentence};

/// The program's name in the object.
const PREPASS: &str = "prepass";

/// The cards it is at.
pub(super) struct Prepass {
    attached: Attached<XdpLink>,
    loaded: bool,
}

impl Prepass {
    /// At no card yet.
    pub(super) fn new(pins: Option<Pins>) -> Self {
        Self { attached: Attached::new(pins), loaded: false }
    }

    /// Puts the program at these cards and takes it from all others.
    pub(super) fn follow(&mut self, object: &mut aya::Ebpf, cards: &BTreeSet<u32>) -> Unserved {
        if cards.is_empty() {
            self.attached.retain(cards);
            return Unserved::new();
        }
        match self.program(object) {
            Ok(mut program) => self.attached.follow(&mut program, cards),
            Err(error) => {
                let refusal = sentence(&Refusal::of_program(error));
                cards.iter().map(|card| (*card, refusal.clone())).collect()
            }
        }
    }

    /// Lets go of the cards and leaves the program at them, if it can outlive us.
    pub(super) fn leave(&mut self) {
        self.attached.leave();
    }

    /// Most routers never need it.
    fn program<'a>(&mut self, object: &'a mut aya::Ebpf) -> Result<&'a mut Xdp, ProgramError> {
        let program = object.program_mut(PREPASS).ok_or(ProgramError::UnexpectedProgramType)?;
        let program: &mut Xdp = program.try_into()?;
        if !self.loaded {
            program.load()?;
            self.loaded = true;
        }
        Ok(program)
    }
}

#[cfg(test)]
mod tests;
