//! The course: a point mass that runs on the ground, leaps, and must not touch the faces of stumps; in
//! plain double precision.
//!
//! Every 0.2 s a hopper that stands chooses a thrust a ∈ [−1, 1], the speed it wants as a share of the
//! largest, 5, and a leap b ∈ [0, 1]. The speed follows with a time constant of 0.2 s, and a leap above 0
//! throws it up:
//!
//! ```text
//! vx ← vx + (5·a − vx)·(1 − exp(−0.2/0.2));   vy ← 6.8·b
//! ```
//!
//! In the air nothing can be chosen: it flies on the parabola of gravity 10, at most 6.8²/20 = 2.312 high,
//! until it lands on the ground or on top of a stump. It steps over what is at most 0.088 higher, so that no
//! stump above [`REACH`] = 2.4 can be passed. Between two decisions it moves from one event (edge, landing)
//! to the next in closed form: how long a tick is changes no flight.
//!
//! The course is 30 long. All stumps are 0.5 wide and of one height, the first stands at 10, and the gaps
//! between them are the task's spacing, each moved by a uniform draw within ±0.25 (never below 0). Running or
//! flying into a face is a fall, and ends the episode; so does the end of the course, and 10 s.
//!
//! Points are scaled as those of the walker of Stump Tracks, 300 for the whole way, share by share; −50 for a fall, half of
//! the walker's, and effort: 0.3·a² a decision and 4·b² a leap.

use ledger::streams::unit_f64;
use rand_pcg::Pcg64;

/// Numbers that the hopper sees: how far it is, how high, both speeds, whether it flies, distance and
/// height of the next two stumps; each scaled to about 1.
pub const SENSES: usize = 9;
/// Numbers that it chooses: thrust and leap.
pub const ACTIONS: usize = 2;
/// Decisions of the longest episode.
pub const LONGEST: usize = 50;
/// Length of the course.
pub const LENGTH: f64 = 30.0;
/// Height that no leap from the ground passes.
pub const REACH: f64 = LEAP * LEAP / (2.0 * GRAVITY) + STEP;
/// Points for the whole way.
pub const WHOLE: f64 = 300.0;
/// Points that a fall costs.
pub const FALL: f64 = 50.0;
/// Time between two decisions, s.
pub const TICK: f64 = 0.2;
/// Largest speed on the ground.
pub const FASTEST: f64 = 5.0;
/// Speed upwards of the highest leap.
pub const LEAP: f64 = 6.8;
/// Acceleration downwards.
pub const GRAVITY: f64 = 10.0;

/// Time constant of the speed on the ground, s.
const LAG: f64 = 0.2;
/// Height that needs no leap.
const STEP: f64 = 0.088;
/// Width of a stump.
const WIDTH: f64 = 0.5;
/// Where the first stump stands.
pub const FIRST: f64 = 10.0;
/// Largest change of a gap.
const JITTER: f64 = 0.25;
/// Points that a decision at full thrust costs.
const THRUST_COST: f64 = 0.3;
/// Points that the highest leap costs.
const LEAP_COST: f64 = 4.0;
/// Distance that is seen where no stump follows.
const FAR: f64 = 12.0;
/// What distances and heights are seen as multiples of.
const SEEN: [f64; 2] = [6.0, 3.0];

/// Stumps and where they stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// Height of every stump.
    pub height: f64,
    /// Front and back of the first stump, of the second, and so on.
    edges: Vec<f64>,
}

impl Course {
    /// A course of this task, height and spacing, its gaps drawn from `random`.
    #[must_use]
    pub fn of([height, spacing]: [f64; 2], random: &mut Pcg64) -> Self {
        let (mut front, mut edges) = (FIRST, Vec::new());
        while front + WIDTH <= LENGTH {
            edges.extend([front, front + WIDTH]);
            let gap = spacing + JITTER * (2.0 * unit_f64(random) - 1.0);
            front += WIDTH + gap.max(0.0);
        }
        Self { height, edges }
    }

    /// Height of the ground in a segment: those of even number lie between stumps.
    fn level(&self, segment: usize) -> f64 {
        if segment.is_multiple_of(2) { 0.0 } else { self.height }
    }
}

/// How an episode ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In the face of a stump.
    Fallen,
    /// At the end of the course.
    Arrived,
}

/// What a decision led to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moved {
    /// Points earned.
    pub points: f64,
    /// Whether that was the end.
    pub end: Option<End>,
}

/// The hopper.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Hopper {
    /// Way from the start.
    pub x: f64,
    /// Height above the ground between stumps.
    pub y: f64,
    /// Speed forwards.
    pub vx: f64,
    /// Speed upwards.
    pub vy: f64,
    /// Whether it flies.
    pub flies: bool,
    /// Edges of stumps behind it.
    pub segment: usize,
}

impl Hopper {
    /// What it sees.
    #[must_use]
    pub fn senses(&self, course: &Course) -> [f64; SENSES] {
        let stump =
            |number: usize| match course.edges.get(self.segment.div_ceil(2) * 2 + 2 * number) {
                Some(front) => [(front - self.x).min(FAR) / SEEN[0], course.height / SEEN[1]],
                None => [FAR / SEEN[0], 0.0],
            };
        let [[near, low], [far, high]] = [stump(0), stump(1)];
        let flies = if self.flies { 1.0 } else { 0.0 };
        let (x, y) = (self.x / LENGTH, self.y / SEEN[1]);
        [x, y, self.vx / FASTEST, self.vy / LEAP, flies, near, low, far, high]
    }

    /// Lives through a tick after a decision, which counts where it stands.
    pub fn decide(&mut self, course: &Course, [thrust, leap]: [f64; ACTIONS]) -> Moved {
        let (before, mut points) = (self.x, 0.0);
        if !self.flies {
            let (thrust, leap) = (thrust.clamp(-1.0, 1.0), leap.clamp(0.0, 1.0));
            self.vx += (FASTEST * thrust - self.vx) * (1.0 - (-TICK / LAG).exp());
            points -= THRUST_COST * thrust * thrust + LEAP_COST * leap * leap;
            if leap > 0.0 {
                (self.flies, self.vy) = (true, LEAP * leap);
            }
        }
        let end = self.travel(course);
        points += WHOLE * (self.x - before) / LENGTH;
        if end == Some(End::Fallen) {
            points -= FALL;
        }
        Moved { points, end }
    }

    /// Moves for a tick, from event to event.
    fn travel(&mut self, course: &Course) -> Option<End> {
        let mut left = TICK;
        loop {
            let forwards = self.vx > 0.0;
            let ahead = if forwards { Some(self.segment) } else { self.segment.checked_sub(1) };
            let edge = ahead.and_then(|edge| course.edges.get(edge)).filter(|_| self.vx != 0.0);
            let to_edge = edge.map_or(f64::INFINITY, |edge| ((edge - self.x) / self.vx).max(0.0));
            let level = course.level(self.segment);
            let to_ground = if self.flies { self.landing(level) } else { f64::INFINITY };
            let time = left.min(to_edge).min(to_ground);
            self.x += self.vx * time;
            if self.flies {
                self.y += (self.vy - GRAVITY * time / 2.0) * time;
                self.vy -= GRAVITY * time;
            }
            left -= time;
            if self.x >= LENGTH {
                self.x = LENGTH;
                return Some(End::Arrived);
            }
            if self.x < 0.0 {
                (self.x, self.vx) = (0.0, 0.0);
            }
            if to_ground <= time {
                self.land(level);
            } else if let (Some(edge), true) = (edge, to_edge <= time) {
                self.x = *edge;
                if !self.enter(course, if forwards { self.segment + 1 } else { self.segment - 1 }) {
                    return Some(End::Fallen);
                }
            } else {
                return None;
            }
        }
    }

    /// Time until it is down at `level`, at or below it.
    fn landing(&self, level: f64) -> f64 {
        let drop = (self.y - level).max(0.0);
        (self.vy + (self.vy * self.vy + 2.0 * GRAVITY * drop).sqrt()) / GRAVITY
    }

    /// Crosses the edge to another segment, unless its face is in the way.
    fn enter(&mut self, course: &Course, segment: usize) -> bool {
        let level = course.level(segment);
        if self.y < level - STEP {
            return false;
        }
        self.segment = segment;
        if self.y <= level {
            self.land(level);
        } else if !self.flies {
            (self.flies, self.vy) = (true, 0.0);
        }
        true
    }

    fn land(&mut self, level: f64) {
        (self.y, self.vy, self.flies) = (level, 0.0, false);
    }
}

/// Points as teachers see them, −150 to 350 as 0 to 1, as in the code of Stump Tracks.
#[must_use]
pub fn rescaled(points: f64) -> f64 {
    ((points + 150.0) / 500.0).clamp(0.0, 1.0)
}
