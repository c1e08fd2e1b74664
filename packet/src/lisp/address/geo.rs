//! Where on earth a locator is: the LCAF types 5 (RFC 8060 §4.3) and 17 (RFC 10040).

use super::Address;
use crate::wire::{Error, Reader, Wire, Writer};

/// Geo-Coordinates, LCAF type 5.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GeoCoordinates {
    /// N: the latitude is north.
    pub north: bool,
    /// Latitude.
    pub latitude: Sexagesimal,
    /// E: the longitude is east.
    pub east: bool,
    /// Longitude.
    pub longitude: Sexagesimal,
    /// Metres above sea level; [`GeoCoordinates::NO_ALTITUDE`] when not given.
    pub altitude: i32,
    /// The address that is there.
    pub address: Address,
}

/// An angle as type 5 has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sexagesimal {
    /// 15 bits.
    pub degrees: u16,
    /// Sixtieths of a degree.
    pub minutes: u8,
    /// Sixtieths of a minute.
    pub seconds: u8,
}

/// Geo-Location, LCAF type 17: a point, or a circle around it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GeoLocation {
    /// N: the latitude is north.
    pub north: bool,
    /// Latitude, degrees.
    pub latitude: u8,
    /// Latitude, thousandths of a second of arc beyond the degrees, 24 bits.
    pub latitude_milliseconds: u32,
    /// E: the longitude is east.
    pub east: bool,
    /// Longitude, degrees.
    pub longitude: u8,
    /// Longitude, thousandths of a second of arc beyond the degrees, 24 bits.
    pub longitude_milliseconds: u32,
    /// U: the location uncertainty holds.
    pub uncertainty_valid: bool,
    /// Location uncertainty in centimetres.
    pub uncertainty: u16,
    /// A: the altitude holds.
    pub altitude_valid: bool,
    /// M: the altitude is in metres, not centimetres.
    pub altitude_in_metres: bool,
    /// Altitude.
    pub altitude: i32,
    /// R: the radius holds; the location is a circle.
    pub radius_valid: bool,
    /// K: the radius is in kilometres, not metres.
    pub radius_in_kilometres: bool,
    /// Radius.
    pub radius: u16,
    /// The address that is there.
    pub address: Address,
}

impl GeoCoordinates {
    /// The altitude of those who give none.
    pub const NO_ALTITUDE: i32 = i32::MAX;

    pub(super) fn read(r: &mut Reader<'_>, depth: u8) -> Result<Self, Error> {
        let (north, latitude) = read_arc(r, "latitude")?;
        let (east, longitude) = read_arc(r, "longitude")?;
        let altitude = i32::from_be_bytes(r.array("altitude")?);
        let address = Address::read_nested(r, depth)?;
        Ok(Self { north, latitude, east, longitude, altitude, address })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        write_arc(self.north, self.latitude, w);
        write_arc(self.east, self.longitude, w);
        self.address.write(w.bytes(self.altitude.to_be_bytes()));
    }
}

fn read_arc(r: &mut Reader<'_>, what: &'static str) -> Result<(bool, Sexagesimal), Error> {
    let word = r.u16(what)?;
    let [minutes, seconds] = r.array(what)?;
    Ok((word & 0x8000 != 0, Sexagesimal { degrees: word & 0x7fff, minutes, seconds }))
}

fn write_arc(positive: bool, arc: Sexagesimal, w: &mut Writer) {
    w.u16(u16::from(positive) << 15 | arc.degrees & 0x7fff).u8(arc.minutes).u8(arc.seconds);
}

impl GeoLocation {
    pub(super) fn read(r: &mut Reader<'_>, depth: u8) -> Result<Self, Error> {
        let flags = r.u16("geo-location flags")?;
        let uncertainty = r.u16("location uncertainty")?;
        let (latitude, latitude_milliseconds) = read_degrees(r, "latitude")?;
        let (longitude, longitude_milliseconds) = read_degrees(r, "longitude")?;
        let altitude = i32::from_be_bytes(r.array("altitude")?);
        let radius = r.u16("radius")?;
        r.u16("geo-location reserved")?;
        Ok(Self {
            uncertainty_valid: flags & UNCERTAINTY != 0,
            north: flags & NORTH != 0,
            east: flags & EAST != 0,
            altitude_valid: flags & ALTITUDE != 0,
            altitude_in_metres: flags & METRES != 0,
            radius_valid: flags & RADIUS != 0,
            radius_in_kilometres: flags & KILOMETRES != 0,
            uncertainty,
            latitude,
            latitude_milliseconds,
            longitude,
            longitude_milliseconds,
            altitude,
            radius,
            address: Address::read_nested(r, depth)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        let flags = [
            (self.uncertainty_valid, UNCERTAINTY),
            (self.north, NORTH),
            (self.east, EAST),
            (self.altitude_valid, ALTITUDE),
            (self.altitude_in_metres, METRES),
            (self.radius_valid, RADIUS),
            (self.radius_in_kilometres, KILOMETRES),
        ];
        let word = flags.iter().filter(|(set, _)| *set).fold(0, |word, (_, bit)| word | bit);
        w.u16(word)
            .u16(self.uncertainty)
            .u32(u32::from(self.latitude) << 24 | self.latitude_milliseconds & 0x00ff_ffff)
            .u32(u32::from(self.longitude) << 24 | self.longitude_milliseconds & 0x00ff_ffff)
            .bytes(self.altitude.to_be_bytes())
            .u16(self.radius)
            .u16(0);
        self.address.write(w);
    }
}

fn read_degrees(r: &mut Reader<'_>, what: &'static str) -> Result<(u8, u32), Error> {
    let word = r.u32(what)?;
    let [degrees, ..] = word.to_be_bytes();
    Ok((degrees, word & 0x00ff_ffff))
}

const UNCERTAINTY: u16 = 0x8000;
const NORTH: u16 = 0x4000;
const EAST: u16 = 0x2000;
const ALTITUDE: u16 = 0x1000;
const METRES: u16 = 0x0800;
const RADIUS: u16 = 0x0400;
const KILOMETRES: u16 = 0x0200;
