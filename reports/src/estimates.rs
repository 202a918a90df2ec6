//! Figures and tables of order estimates: predicted against retrained losses, the growth of the
//! error, the best orders of a search, and recency curves.

pub mod curves;
pub mod scatter;
pub mod strip;

use crate::figure::{Colour, Figure};

/// A filled rectangle from its left, top, right and bottom.
fn rectangle(figure: &mut Figure, [left, top, right, bottom]: [f64; 4], colour: Colour) {
    let corners = vec![(left, top), (right, top), (right, bottom), (left, bottom)];
    figure.area(corners, colour, 1.0);
}

/// From one colour (0) to another (1).
fn mix(from: Colour, to: Colour, share: f64) -> Colour {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let byte = |from: u8, to: u8| {
        let mixed = f64::from(from) + (f64::from(to) - f64::from(from)) * share;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between two bytes"
        )]
        let byte = mixed.round() as u8;
        byte
    };
    (byte(from.0, to.0), byte(from.1, to.1), byte(from.2, to.2))
}

/// A number for a table, or nothing where there is none.
fn cell(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}
