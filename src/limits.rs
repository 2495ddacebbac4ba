//! The limits of a plugin: the largest body, the longest list and the deepest JSON that it answers.
//! Each is found by bisection on the dry-run request.
//!
//! Bugs in this module look like a limit that a smaller request already exceeds.

use std::marker::PhantomData;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::campaign::CampaignError;
use crate::execute::dispatch;
use crate::generate::growing_fields::GrowingField;
use crate::generate::learned_values::donors;
use crate::generate::negotiated::of_negotiated;
use crate::host::{Cause, DispatchOutcome, HandshakeError, Host};
use crate::wire::{Function, Vocabulary};

/// The most attempts at a call that times out: on a busy machine any call may.
const TRIES: u32 = 4;

/// The limit of one field in a function's request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The label of the function, which includes its version.
    pub function: String,
    /// The path of the field, with dots.
    pub field: String,
    /// The unit of the size.
    pub unit: String,
    /// The largest size that the plugin answers; `None` if it does not answer the smallest.
    pub largest: Option<u64>,
    /// The outcome of the next size; `None` if no larger size was tried.
    pub beyond: Option<String>,
    /// Why no host sends the next size, in the words of a limit that a campaign finds; `None` if a
    /// host may send it.
    pub unusual: Option<String>,
    /// The costs of smaller sizes, each twice the one before.
    pub curve: Vec<Point>,
}

/// The costs of a request of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The size, in the unit of the limit.
    pub size: u64,
    /// The size of the guest's input, in bytes.
    pub input_bytes: Option<usize>,
    /// The fuel of the call.
    pub fuel: Option<u64>,
    /// The time of the call.
    pub time: Duration,
}

/// Finds the limits of those of the functions that the plugin negotiated, given by index. Before
/// each request, `before` is called with the index of its function.
///
/// # Errors
/// Returns a [`CampaignError`] if the plugin negotiated none of them, or the host cannot open a
/// session.
pub fn limits<H: Host, R: Vocabulary>(
    host: &H,
    indices: &[usize],
    before: &dyn Fn(usize),
) -> Result<Vec<Limit>, CampaignError> {
    let mut found = Vec::new();
    let all = R::functions().iter().enumerate();
    let negotiated = all.filter(|(_, function)| host.negotiated(function.name).is_some());
    let negotiated: Vec<_> = negotiated.map(|(index, _)| index).collect();
    for index in of_negotiated::<R>(indices, &negotiated)? {
        let function = &R::functions()[index];
        let Ok(sample) = serde_json::to_value(R::dry_run(index)) else {
            continue;
        };
        let donors: Vec<_> = donors::<R>(index).collect();
        // There are many texts in items; a campaign measures their cost.
        let mut all = GrowingField::all::<R>(&sample, &donors);
        all.retain(|growing| !growing.is_text());
        for growing in &all {
            let field = Field::<R> {
                sample: &sample,
                growing,
                before: &|| before(index),
                _request: PhantomData,
            };
            found.push(field.limit(host, function)?);
        }
    }
    Ok(found)
}

/// A growing field of a function's request.
struct Field<'a, R> {
    sample: &'a Value,
    growing: &'a GrowingField,
    before: &'a dyn Fn(),
    _request: PhantomData<fn() -> R>,
}

/// What came of a request of one size.
enum Attempt {
    Answered(Point),
    /// It was not answered, for this reason.
    Failed(String),
}

impl<R: Vocabulary> Field<'_, R> {
    fn limit<H: Host>(
        &self,
        host: &H,
        function: &'static Function,
    ) -> Result<Limit, HandshakeError> {
        let (mut curve, mut answered, mut beyond) = (Vec::new(), None, None);
        let mut size = 1;
        // Double the size until the request is not answered.
        let mut failing = loop {
            match self.try_on(host, size)? {
                Attempt::Answered(point) => {
                    curve.push(point);
                    answered = Some(size);
                }
                Attempt::Failed(why) => {
                    beyond = Some(why);
                    break size;
                }
            }
            if size == self.growing.growth.most() {
                break size + 1;
            }
            size = (2 * size).min(self.growing.growth.most());
        };
        while let Some(last) = answered
            && failing - last > 1
        {
            let middle = last + (failing - last) / 2;
            match self.try_on(host, middle)? {
                Attempt::Answered(_) => answered = Some(middle),
                Attempt::Failed(why) => {
                    beyond = Some(why);
                    failing = middle;
                }
            }
        }
        let unusual = beyond
            .as_ref()
            .and_then(|_| self.unusual(function, failing));
        Ok(Limit {
            function: function.label.to_owned(),
            unusual,
            field: self
                .growing
                .path
                .splitn(3, '/')
                .nth(2)
                .unwrap_or("")
                .replace('/', "."),
            unit: self.growing.growth.unit().to_owned(),
            largest: answered,
            beyond,
            curve,
        })
    }

    /// Returns why no host sends a request of this size, or `None`.
    fn unusual(&self, function: &Function, size: u64) -> Option<String> {
        let request = self.growing.request::<R>(self.sample, size)?;
        let input = serde_json::to_vec(&request.to_json().ok()?).ok()?;
        let unusual = function.unusual(&input, &|_| false);
        unusual.first().map(ToString::to_string)
    }

    /// Tries a request of this size on a fresh session.
    fn try_on<H: Host>(&self, host: &H, size: u64) -> Result<Attempt, HandshakeError> {
        let Some(request) = self.growing.request::<R>(self.sample, size) else {
            return Ok(Attempt::Failed("it cannot be said".to_owned()));
        };
        let try_once = || {
            (self.before)();
            Ok::<_, HandshakeError>(dispatch(request.clone(), &mut host.open()?))
        };
        let mut observed = try_once()?;
        for _ in 1..TRIES {
            if observed.call.cause != Some(Cause::Timeout) {
                break;
            }
            observed = try_once()?;
        }
        Ok(match observed.outcome {
            DispatchOutcome::Ok(_) => Attempt::Answered(Point {
                size,
                input_bytes: observed.call.input.as_ref().map(|input| input.len()),
                fuel: observed.call.fuel,
                time: observed.call.time,
            }),
            DispatchOutcome::Fallback(_) => Attempt::Failed(
                observed
                    .call
                    .cause
                    .map_or_else(|| "a fallback".to_owned(), |cause| cause.to_string()),
            ),
        })
    }
}
