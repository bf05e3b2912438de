//! The encoder without the middleware: what a running service measures of itself.

use std::{collections::BTreeMap, sync::Arc};

use ruleiq_bench::{Arm, Case, Fault, repeat};
use ruleiq_compression::{Coding, Config, Encoder, Kind};
use ruleiq_performance::benchmark::{ENCODER_CASES, EncoderCase};
use serde::Serialize;

use super::codec::{Codec, compare};
use crate::{
    Env,
    judged::{Wrong, judged},
};

/// What both sides are set up from.
#[derive(Clone, Copy, Debug, Serialize)]
struct EncoderSettings {
    body_bytes: usize,
    threads: usize,
    #[serde(skip)]
    coding: Coding,
}

/// The cases that a running service has, too, over the same bodies.
pub(super) fn cases() -> impl Iterator<Item = Case<Env>> {
    ENCODER_CASES.iter().map(|case: &EncoderCase| {
        let settings = EncoderSettings {
            body_bytes: case.body_bytes,
            threads: 1,
            coding: case.coding,
        };
        Case::builder("compression", case.name, settings)
            .about(case.about)
            .on_one_thread()
            .subject("ruleiq-compression", env!("CARGO_PKG_VERSION"), ours)
            .control("the codec alone", "-", raw)
            .build()
    })
}

async fn ours(_: Arc<Env>, settings: Arc<EncoderSettings>) -> Result<Box<dyn Arm>, Fault> {
    let encoder = Encoder::new(&Config::default()).map_err(Fault::failed)?;
    // Chosen once: what is learned of its cost must not change what is measured.
    let choice = encoder.choose(&[settings.coding], Some(settings.body_bytes));
    let choice = choice.ok_or_else(|| Fault::Failed("no level".to_owned()))?;
    encoding(*settings, move |body| {
        encoder.encode_at(choice, Kind::Json, body).ok()
    })
}

async fn raw(_: Arc<Env>, settings: Arc<EncoderSettings>) -> Result<Box<dyn Arm>, Fault> {
    let mut codec = Codec::new(settings.coding, settings.body_bytes).map_err(Fault::failed)?;
    encoding(*settings, move |body| {
        let mut room = Vec::new();
        codec.encode(body, &mut room).ok().map(|()| room)
    })
}

/// An arm that encodes one body over and over, each time to the same bytes.
fn encoding<B: AsRef<[u8]> + Send + 'static>(
    settings: EncoderSettings,
    mut encode: impl FnMut(&[u8]) -> Option<B> + Send + 'static,
) -> Result<Box<dyn Arm>, Fault> {
    let body = EncoderCase::body(settings.body_bytes);
    let failed = || Fault::Failed("the body could not be encoded".to_owned());
    let expected = encode(&body).ok_or_else(failed)?;
    compare(settings.coding, expected.as_ref(), &body.clone().into())?;
    #[expect(clippy::cast_precision_loss, reason = "bytes of a body")]
    let counts = BTreeMap::from([("bytes_out".to_owned(), expected.as_ref().len() as f64)]);
    let wrong = Wrong::default();
    let judge = wrong.clone();
    let operation = move || {
        let is_right = encode(&body).is_some_and(|it| it.as_ref() == expected.as_ref());
        judge.judge(is_right);
        is_right
    };
    let check = |is_right: &bool| match is_right {
        true => Ok(()),
        false => Err(Fault::Wrong("other bytes than before".to_owned())),
    };
    Ok(judged(repeat(operation, check), wrong, counts))
}
