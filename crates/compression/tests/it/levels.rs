use crate::content::encoder;
use ruleiq_compression::{Coding, Config, Encoder};

#[track_caller]
fn refused(config: &Config) -> String {
    Encoder::new(config).unwrap_err().to_string()
}

#[test]
fn a_level_that_does_not_exist_is_refused_with_the_choice() {
    for brotli_level in [-1, 9, 12] {
        let said = refused(&Config {
            brotli_level,
            ..Config::default()
        });
        let expect = format!("br has no level `{brotli_level}`; choose one of 0 to 8, 10, 11");
        assert_eq!(said, expect);
    }
    for zstd_level in [-8, 20, 22] {
        let said = refused(&Config {
            zstd_level: Some(zstd_level),
            ..Config::default()
        });
        let expect = format!("zstd has no level `{zstd_level}`; choose one of -7 to 19");
        assert_eq!(said, expect);
    }
    for gzip_level in [0, 10] {
        let said = refused(&Config {
            gzip_level,
            ..Config::default()
        });
        let expect = format!("gzip has no level `{gzip_level}`; choose one of 1 to 9");
        assert_eq!(said, expect);
    }
}

#[test]
fn more_work_is_predicted_for_larger_bodies_and_higher_levels() {
    let low = encoder(&Config::default());
    let high = Config {
        brotli_level: 11,
        zstd_level: Some(19),
        gzip_level: 9,
        ..Config::default()
    };
    let high = encoder(&high);
    for coding in Coding::ALL {
        assert!(low.predicted_cost(coding, 10_000) < low.predicted_cost(coding, 20_000));
        assert!(low.predicted_cost(coding, 10_000) < high.predicted_cost(coding, 10_000));
    }
}
