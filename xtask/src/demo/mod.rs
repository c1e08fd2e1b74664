//! `cargo xtask demo`: the quickstart network in a story of a minute. Every command shown is the
//! command that runs, so all of it can be typed again.

mod stage;
mod story;

use std::path::Path;

use crate::run::{Result, root};
use crate::{setup, test};
use stage::{Stage, heading, say};
use story::Story;

const PICTURE: &str = "
          x1-isp1 \u{2500}\u{2500} isp1 \u{2500}\u{2500} x2-isp1
   h1 \u{2500}\u{2500} xtr1          \u{2502}          xtr2 \u{2500}\u{2500} h2
          x1-isp2 \u{2500}\u{2500} isp2 \u{2500}\u{2500} x2-isp2
                       \u{2502}
                      ms

   Two sites, each with two uplinks to two providers. h1 and h2 have addresses of their own,
   192.168.1.10 and 192.168.2.10 (and IPv6 ones): the providers have never heard of them.
   xtr1 and xtr2 are weft routers. They register with ms, the mapping system, which addresses
   are behind which uplinks, ask it about others, and tunnel the packets there.";

/// Tells the story, of a binary that is built already if one is given; fails when a part of it
/// does not come true.
pub(crate) fn demo(weft: Option<&str>) -> Result {
    setup::packages()?;
    let weft = if let Some(weft) = weft {
        Path::new(weft).canonicalize().map_err(|error| format!("{weft}: {error}"))?
    } else {
        heading("Building weft (the first time takes some minutes)");
        test::build(&["--release"], "release")?
    };
    let quickstart = root().join("labs/quickstart.toml");
    heading("A small Internet, in network namespaces of this machine");
    say(PICTURE);
    let stage = Stage::set(&weft, &quickstart)?;
    let mut story = Story::new(stage);
    story.registration()?;
    story.first_ping()?;
    story.throughput()?;
    story.load_split()?;
    story.carrier_loss()?;
    story.black_hole()?;
    story.summary();
    drop(story);
    let weft = weft.display();
    say(&format!(
        "\n  Everything is cleaned up. To look around yourself:\n\n    \
         alias weft='sudo {weft}'\n    \
         weft lab up labs/quickstart.toml\n    \
         weft lab shell xtr1\n    \
         weft lab down"
    ));
    Ok(())
}
