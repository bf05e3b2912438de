//! What must hold whatever the data: of `Accept-Encoding`, and of bodies however they are cut.
//!
//! One file for the fuzz targets and for the tests of the crate, which replay the corpus. A check panics where something
//! does not hold.

use std::{
    io::{Read as _, Write},
    sync::Arc,
};

use ruleiq_compression::{AcceptEncoding, Coding, Config, Encoder, Kind, NotAcceptable};

/// How large a body may get, in bytes: several blocks of every coding, and more than the window of a stream.
const MOST_BYTES: usize = 300_000;

/// The data as a header: the first byte says what is on offer, lines are cut at line feeds. Then the same bytes as names
/// and q-values, since random bytes are seldom a list.
pub fn headers(data: &[u8]) {
    let Some((order, text)) = data.split_first() else {
        return;
    };
    let offered = offer(*order);
    check_header(text, &offered);
    check_header(members(text).as_bytes(), &offered);
}

/// The codings on offer: some of them, in some order, one of them perhaps twice.
fn offer(order: u8) -> Vec<Coding> {
    let picks = [order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6];
    let picks = picks.into_iter().map(usize::from);
    picks
        .filter_map(|it| Coding::ALL.get(it).copied())
        .collect()
}

/// A list without a fault: three bytes are a name, a q-value and the space around them.
fn members(data: &[u8]) -> String {
    const NAMES: [&str; 8] = [
        "br", "zstd", "gzip", "x-gzip", "identity", "*", "deflate", "GZip",
    ];
    const WEIGHTS: [&str; 8] = [
        "",
        ";q=0",
        ";q=0.",
        ";q=1",
        ";Q=1.000",
        "; q=0.5",
        ";q=0.50",
        " ;\tq=0.001",
    ];
    const ENDS: [&str; 4] = [",", ", ", "\t,,", "\n"];
    let members = data.chunks_exact(3).map(|it| {
        let [name, weight, end] = [it[0], it[1], it[2]].map(usize::from);
        let weight = match weight {
            0..8 => WEIGHTS[weight].to_owned(),
            _ => format!(";q=0.{weight:03}"),
        };
        NAMES[name % NAMES.len()].to_owned() + &weight + ENDS[end % ENDS.len()]
    });
    members.collect()
}

fn check_header(text: &[u8], offered: &[Coding]) {
    let lines = || text.split(|byte| *byte == b'\n');
    let accepts = AcceptEncoding::parse(lines());
    let expect = Reference::read(lines());
    let preferred = accepts.preferred(offered);
    let found = preferred.map(|it| it.as_slice().to_vec());
    let shown = String::from_utf8_lossy(text);
    assert_eq!(found, expect.preferred(offered), "{shown:?}, {offered:?}");

    let first = found.clone().map(|it| it.first().copied());
    assert_eq!(accepts.negotiate(offered), first, "{shown:?}");
    let takes_identity = expect.of("identity") != Some(0);
    assert_eq!(accepts.accepts_identity(), takes_identity, "{shown:?}");
    for (at, coding) in found.iter().flatten().enumerate() {
        assert!(offered.contains(coding), "{coding} of {offered:?}");
        assert!(!found.iter().flatten().take(at).any(|it| it == coding));
        assert_ne!(expect.of(coding.as_str()), Some(0), "{coding} is refused");
        assert!(!coding.to_string().is_empty());
    }
    // What is written in logs.
    let logged = format!("{accepts:?} {preferred:?} {}", NotAcceptable);
    assert!(!logged.contains('\n'));
}

/// RFC 9110 §12.5.3 word for word, at any cost: all members with their q-values in thousandths.
struct Reference(Vec<(String, u32)>);

impl Reference {
    fn read<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Reference {
        let lines: Vec<String> = lines.map(|it| String::from_utf8_lossy(it).into()).collect();
        // §5.3: lines are one list.
        let list = lines.join(",");
        Reference(list.split(',').filter_map(Reference::member).collect())
    }

    /// A member that is none is not there: the RFC leaves that open, the crate says so.
    fn member(text: &str) -> Option<(String, u32)> {
        let space = [' ', '\t'];
        let (name, weight) = match text.split_once(';') {
            None => (text, "q=1"),
            Some((name, weight)) => (name, weight.trim_matches(space)),
        };
        let name = name.trim_matches(space).to_ascii_lowercase();
        let value = weight.to_ascii_lowercase();
        let value = value.strip_prefix("q=")?;
        let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
        // §12.4.2: 0 or 1, and at most three digits behind a point.
        let is_quality = matches!(whole, "0" | "1")
            && decimals.len() <= 3
            && decimals.bytes().all(|it| it.is_ascii_digit());
        if !is_quality {
            return None;
        }
        let thousandths: u32 = format!("{whole}{decimals:0<3}").parse().ok()?;
        // §8.4.1.3.
        let name = if name == "x-gzip" { "gzip" } else { &name };
        (thousandths <= 1_000).then(|| (name.to_owned(), thousandths))
    }

    /// None of what is neither listed nor covered by `*`. Of what is listed twice, the lower one: the crate says so.
    fn of(&self, name: &str) -> Option<u32> {
        let listed = |name: &str| {
            let same = self.0.iter().filter(|(it, _)| it == name);
            same.map(|(_, quality)| *quality).min()
        };
        listed(name).or_else(|| listed("*"))
    }

    fn preferred(&self, offered: &[Coding]) -> Result<Vec<Coding>, NotAcceptable> {
        let quality = |it: &Coding| self.of(it.as_str()).unwrap_or(0);
        let best = offered.iter().map(quality).max().unwrap_or(0);
        let identity = self.of("identity");
        if best == 0 && identity == Some(0) {
            return Err(NotAcceptable);
        }
        let mut preferred = Vec::new();
        if best > 0 && identity.unwrap_or(0) <= best {
            for coding in offered {
                if quality(coding) == best && !preferred.contains(coding) {
                    preferred.push(*coding);
                }
            }
        }
        Ok(preferred)
    }
}

/// The data as instructions: a coding, a level, and then what is written, flushed and left.
pub fn chunking(data: &[u8]) {
    let mut script = Script(data);
    let coding = Coding::ALL[usize::from(script.byte()) % Coding::ALL.len()];
    let level = script.byte();
    let encoder = encoder(coding, level);
    let mut stream = Begun::new(&encoder, coding);
    while !script.0.is_empty() {
        match script.byte() % 8 {
            0 | 1 => stream.flush(),
            // What one leaves halfway, the next one begins with.
            2 => stream = Begun::new(&encoder, coding),
            // The same, while the one before is there.
            3 => {
                let next = Begun::new(&encoder, coding);
                stream.finish();
                stream = next;
            }
            4 => check_whole(&encoder, coding, level, &stream.body),
            _ => {
                let piece = script.piece(&stream.body);
                stream.write(&piece);
            }
        }
    }
    let body = stream.body.clone();
    stream.finish();
    check_whole(&encoder, coding, level, &body);
}

/// The one place that knows how an encoder is made. A large body has a lower level, as it would in a server.
fn encoder(coding: Coding, level: u8) -> Arc<Encoder> {
    let mut config = Config {
        cpu_budget_us: 20_000,
        ..Config::default()
    };
    let brotli_levels = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11];
    let brotli_level = brotli_levels[usize::from(level) % brotli_levels.len()];
    let level = i32::from(level);
    match coding {
        Coding::Brotli => config.brotli_level = brotli_level,
        Coding::Zstd => config.zstd_level = Some(level % 27 - 7),
        Coding::Gzip => config.gzip_level = level % 9 + 1,
    }
    Arc::new(Encoder::new(&config).expect("a level that there is"))
}

/// A state that was used before encodes as a fresh one does, and what it encodes decodes.
fn check_whole(used: &Arc<Encoder>, coding: Coding, level: u8, body: &[u8]) {
    // What was learned of its cost may have another level chosen.
    let choice = used.choose(&[coding], Some(body.len())).expect("a coding");
    let encoded = used.encode_at(choice, Kind::Json, body).expect("memory");
    assert_same(&decode(coding, &encoded), body, coding);
    let fresh = encoder(coding, level).encode_at(choice, Kind::Json, body);
    assert!(fresh.expect("memory") == encoded, "{coding}: a used state");
}

/// Instructions; behind their end there are zeros.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// As it stands, repeated, of what was written before, or noise.
    fn piece(&mut self, body: &[u8]) -> Vec<u8> {
        let kind = self.byte();
        let count = usize::from(self.byte());
        let piece = match kind % 4 {
            0 => self.bytes(count).to_vec(),
            1 => {
                let times = usize::from(self.byte()) * usize::from(self.byte());
                self.bytes(count % 32).repeat(times)
            }
            2 => {
                let from = usize::from(self.byte()) * usize::from(self.byte());
                let from = from.min(body.len());
                let to = (from + count * 16).min(body.len());
                body[from..to].to_vec()
            }
            _ => noise(self.byte(), count * count),
        };
        let room = MOST_BYTES - body.len().min(MOST_BYTES);
        piece.into_iter().take(room).collect()
    }
}

/// Knuth's linear congruential generator, whose high bits are good.
fn noise(seed: u8, count: usize) -> Vec<u8> {
    let mut state = u64::from(seed);
    let bytes = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    });
    bytes.take(count).collect()
}

/// A stream with what went into it, and with a client that decodes what came out so far.
struct Begun {
    coding: Coding,
    stream: ruleiq_compression::StreamEncoder,
    body: Vec<u8>,
    encoded: Vec<u8>,
    client: Decoder,
    /// How much of what was encoded the client has.
    sent: usize,
}

impl Begun {
    fn new(encoder: &Arc<Encoder>, coding: Coding) -> Begun {
        Begun {
            coding,
            stream: encoder.stream(coding).expect("memory"),
            body: Vec::new(),
            encoded: Vec::new(),
            client: Decoder::new(coding),
            sent: 0,
        }
    }

    fn write(&mut self, piece: &[u8]) {
        self.stream.write(piece, &mut self.encoded).expect("memory");
        self.body.extend_from_slice(piece);
    }

    fn flush(&mut self) {
        self.stream.flush(&mut self.encoded).expect("memory");
        let begun = self.client.write(&self.encoded[self.sent..]);
        assert_same(begun, &self.body, self.coding);
        self.sent = self.encoded.len();
    }

    fn finish(mut self) {
        self.stream.finish(&mut self.encoded).expect("memory");
        assert_same(&decode(self.coding, &self.encoded), &self.body, self.coding);
    }
}

/// Decodes what comes when it comes.
enum Decoder {
    Brotli(Box<brotli::DecompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
    Gzip(Box<flate2::write::GzDecoder<Vec<u8>>>),
}

impl Decoder {
    fn new(coding: Coding) -> Decoder {
        let out = Vec::new();
        match coding {
            Coding::Brotli => Decoder::Brotli(Box::new(brotli::DecompressorWriter::new(out, 4096))),
            Coding::Zstd => Decoder::Zstd(zstd::stream::write::Decoder::new(out).expect("memory")),
            Coding::Gzip => Decoder::Gzip(Box::new(flate2::write::GzDecoder::new(out))),
        }
    }

    /// Answers all that is known of the body by now.
    fn write(&mut self, encoded: &[u8]) -> &[u8] {
        let writer: &mut dyn Write = match self {
            Decoder::Brotli(it) => it,
            Decoder::Zstd(it) => it,
            Decoder::Gzip(it) => it,
        };
        // Asked again and again without anything to read, zstd's would say that it gets nowhere.
        if !encoded.is_empty() {
            let written = writer.write_all(encoded).and_then(|()| writer.flush());
            written.expect("what was encoded decodes");
        }
        // The writer of brotli keeps some of what it knows until it is written to again.
        while let Decoder::Brotli(it) = self {
            let before = it.get_ref().len();
            assert_eq!(it.write(&[]).expect("what was encoded decodes"), 0);
            if it.get_ref().len() == before {
                break;
            }
        }
        match self {
            Decoder::Brotli(it) => it.get_ref(),
            Decoder::Zstd(it) => it.get_ref(),
            Decoder::Gzip(it) => it.get_ref(),
        }
    }
}

/// Decodes a whole body, and finds nothing behind its end.
fn decode(coding: Coding, encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let (read, rest) = match coding {
        Coding::Brotli => {
            // A buffer of one byte, so that no byte is read that is not needed.
            let mut decoder = brotli::Decompressor::new(encoded, 1);
            (decoder.read_to_end(&mut decoded), decoder.into_inner())
        }
        Coding::Zstd => {
            let decoder = zstd::Decoder::with_buffer(encoded).expect("memory");
            let mut decoder = decoder.single_frame();
            (decoder.read_to_end(&mut decoded), decoder.finish())
        }
        Coding::Gzip => {
            let mut decoder = flate2::bufread::GzDecoder::new(encoded);
            (decoder.read_to_end(&mut decoded), decoder.into_inner())
        }
    };
    read.expect("what was encoded decodes");
    assert!(rest.is_empty(), "{coding}: {} bytes too many", rest.len());
    decoded
}

fn assert_same(decoded: &[u8], body: &[u8], coding: Coding) {
    let common = decoded.iter().zip(body).take_while(|(a, b)| a == b);
    assert!(
        decoded == body,
        "{coding}: of {} bytes, {} came out, and {} of them are the same",
        body.len(),
        decoded.len(),
        common.count(),
    );
}
