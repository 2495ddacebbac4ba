//! How large a request may be before a plugin does not answer it any more: the largest body, the longest list, the
//! deepest JSON, each found by bisection on the dry-run request.
//!
//! A discrepancy here is a limit that a smaller request already passes.

use std::marker::PhantomData;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::growth::Growing;
use super::values::donors;
use super::{CampaignError, of_negotiated};
use crate::host::{Cause, DispatchOutcome, HandshakeError, Host};
use crate::observation::dispatch;
use crate::wire::{Function, Vocabulary};

/// How often a call is made that is late each time: on a busy machine any may be.
const TRIES: u32 = 4;

/// How far one field of a function's request can grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The function, with its version.
    pub function: String,
    /// The field: names with dots between them.
    pub field: String,
    /// What is counted.
    pub unit: String,
    /// The largest size that the plugin answers; `None` where it does not answer the smallest.
    pub largest: Option<u64>,
    /// What the next size comes to; `None` where nothing larger was tried.
    pub beyond: Option<String>,
    /// What of that next size no host sends, in words, as a limit that a campaign finds says it; `None` where a host may
    /// send it.
    pub unusual: Option<String>,
    /// What the sizes on the way took, each twice the one before.
    pub curve: Vec<Point>,
}

/// What a request of a size took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The size, in the unit of the limit.
    pub size: u64,
    /// The guest's input, in bytes.
    pub input_bytes: Option<usize>,
    /// The fuel of the call.
    pub fuel: Option<u64>,
    /// The time of the call.
    pub time: Duration,
}

/// Finds the limits of those of these functions, by their places, that the plugin negotiated. Before each request is sent,
/// `before` is told the place of its function.
///
/// # Errors
/// [`CampaignError`] where it negotiated none, or the host opens no session.
pub fn limits<H: Host, R: Vocabulary>(
    host: &H,
    places: &[usize],
    before: &dyn Fn(usize),
) -> Result<Vec<Limit>, CampaignError> {
    let mut found = Vec::new();
    let all = R::functions().iter().enumerate();
    let negotiated = all.filter(|(_, function)| host.negotiated(function.name).is_some());
    let negotiated: Vec<_> = negotiated.map(|(place, _)| place).collect();
    for place in of_negotiated::<R>(places, &negotiated)? {
        let function = &R::functions()[place];
        let Ok(sample) = serde_json::to_value(R::dry_run(place)) else {
            continue;
        };
        let donors: Vec<_> = donors::<R>(place).collect();
        // The texts of items are many, and what they cost is for a campaign to find.
        let mut all = Growing::all::<R>(&sample, &donors);
        all.retain(|growing| !growing.is_text());
        for growing in &all {
            let field = Field::<R> {
                sample: &sample,
                growing,
                before: &|| before(place),
                _request: PhantomData,
            };
            found.push(field.limit(host, function)?);
        }
    }
    Ok(found)
}

/// A field of a function's request that grows.
struct Field<'a, R> {
    sample: &'a Value,
    growing: &'a Growing,
    before: &'a dyn Fn(),
    _request: PhantomData<fn() -> R>,
}

impl<R: Vocabulary> Field<'_, R> {
    fn limit<H: Host>(
        &self,
        host: &H,
        function: &'static Function,
    ) -> Result<Limit, HandshakeError> {
        let (mut curve, mut answered, mut beyond) = (Vec::new(), None, None);
        let mut size = 1;
        // Twice as large, until it is too large.
        let mut failing = loop {
            match self.try_on(host, size)? {
                Ok(point) => {
                    curve.push(point);
                    answered = Some(size);
                }
                Err(why) => {
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
                Ok(_) => answered = Some(middle),
                Err(why) => {
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

    /// What of a request of this size no host sends.
    fn unusual(&self, function: &Function, size: u64) -> Option<String> {
        let request = self.growing.request::<R>(self.sample, size)?;
        let input = serde_json::to_vec(&request.to_json().ok()?).ok()?;
        let unusual = function.unusual(&input, &|_| false);
        unusual.first().map(ToString::to_string)
    }

    /// What a request of this size took on a fresh session, or why it was not answered.
    fn try_on<H: Host>(
        &self,
        host: &H,
        size: u64,
    ) -> Result<Result<Point, String>, HandshakeError> {
        let Some(request) = self.growing.request::<R>(self.sample, size) else {
            return Ok(Err("it cannot be said".to_owned()));
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
            DispatchOutcome::Ok(_) => Ok(Point {
                size,
                input_bytes: observed.call.input.as_ref().map(|input| input.len()),
                fuel: observed.call.fuel,
                time: observed.call.time,
            }),
            DispatchOutcome::Fallback(_) => Err(observed
                .call
                .cause
                .map_or_else(|| "a fallback".to_owned(), |cause| cause.to_string())),
        })
    }
}
