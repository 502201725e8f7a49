//! Which form a scraper takes, by its `Accept` and `Accept-Encoding` headers (RFC 9110, 12.5).

use mediatype::{MediaType, MediaTypeList, ReadParams as _};

use super::Format;

/// How closely a range names a form: not but by `*/*`, by its type, by its name, by name and parameters.
const ANYTHING: usize = 0;
const TYPE: usize = 1;
const NAME: usize = 2;

impl Format {
    /// Type and subtype.
    const fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text", "plain"),
            Self::OpenMetrics => ("application", "openmetrics-text"),
            Self::Protobuf => ("application", "vnd.google.protobuf"),
        }
    }

    /// The parameters that tell it from others of its type. A range need not have them, but then says the same;
    /// other parameters (`charset`, `escaping`) change nothing: our names need no escapes.
    const fn parameters(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Text => &[("version", "0.0.4")],
            Self::OpenMetrics => &[("version", "1.0.0")],
            Self::Protobuf => &[("proto", "io.prometheus.client.MetricFamily"), ("encoding", "delimited")],
        }
    }

    /// How closely the range names this form; absent: it does not.
    fn matched(self, range: &MediaType<'_>) -> Option<usize> {
        let named = |name: &str, expected: &str| name.eq_ignore_ascii_case(expected);
        let (ty, subty) = self.media_type();
        match (range.ty.as_str(), range.subty.as_str()) {
            ("*", "*") => Some(ANYTHING),
            (of, "*") => named(of, ty).then_some(TYPE),
            (of, sub) => {
                let same = range.suffix.is_none() && named(of, ty) && named(sub, subty);
                same.then_some(())?;
                self.parameters().iter().try_fold(NAME, |closeness, (name, expected)| match parameter(range, name) {
                    Some(value) if value.eq_ignore_ascii_case(expected) => Some(closeness + 1),
                    Some(_) => None,
                    None => Some(closeness),
                })
            }
        }
    }
}

/// A parameter's value, by its name in any case.
fn parameter(range: &MediaType<'_>, name: &str) -> Option<String> {
    let (_, value) = range.params().find(|(of, _)| of.as_str().eq_ignore_ascii_case(name))?;
    Some(value.unquoted_str().into_owned())
}

/// How much a range is wanted, 0 (not) to 1; absent: that cannot be read.
fn weight(text: Option<&str>) -> Option<f32> {
    let Some(text) = text else { return Some(1.0) };
    text.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q))
}

/// Of each form, the range that names it most closely decides. Among those equally wanted the one more closely named
/// wins, then the one named first, then the plainer one.
pub(super) fn negotiate(accept: &str) -> Format {
    let ranges: Vec<_> = MediaTypeList::new(accept)
        .flatten()
        .filter_map(|range| Some((weight(parameter(&range, "q").as_deref())?, range)))
        .enumerate()
        .collect();
    let wanted = |format: Format| {
        let matched = ranges.iter().filter_map(|(at, (weight, range))| {
            let closeness = format.matched(range)?;
            Some((closeness, *weight, ranges.len() - at))
        });
        let (closeness, weight, early) = matched.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))?;
        (weight > 0.0).then_some((weight, closeness, early, format))
    };
    let best = Format::ALL.into_iter().rev().filter_map(wanted).max_by(|a, b| {
        let (closeness, early) = (a.1.cmp(&b.1), a.2.cmp(&b.2));
        a.0.total_cmp(&b.0).then(closeness).then(early)
    });
    best.map_or(Format::Text, |(_, _, _, format)| format)
}

/// Whether an `Accept-Encoding` header takes gzip, and does not prefer it plain.
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    let weight_of = |names: &[&str]| {
        accept_encoding.split(',').find_map(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next()?;
            names.iter().find(|known| name.eq_ignore_ascii_case(known))?;
            let q = parts.find_map(|part| {
                let (name, value) = part.split_once('=')?;
                name.trim().eq_ignore_ascii_case("q").then_some(value)
            });
            weight(q)
        })
    };
    let gzip = weight_of(&["gzip", "x-gzip"]).or_else(|| weight_of(&["*"])).unwrap_or(0.0);
    gzip > 0.0 && gzip >= weight_of(&["identity"]).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::{
        Format::{OpenMetrics, Protobuf, Text},
        *,
    };

    #[test]
    fn each_prometheus_gets_what_it_asks_for_first() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let native = format!(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,{prometheus_3}"
        );
        let cases = [
            (prometheus_3, OpenMetrics),
            (&native, Protobuf),
            // 2.42 without flags, and with the one for native histograms
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                    text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                    application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
                    text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Protobuf,
            ),
            // configured for text only
            ("text/plain;version=0.0.4;q=0.7,*/*;q=0.6", Text),
            ("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.7,*/*;q=0.6", Text),
            // 2.25 and VictoriaMetrics know no later OpenMetrics
            ("application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Text),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Text),
        ];
        for (accept, expected) in cases {
            assert_eq!(negotiate(accept), expected, "{accept}");
        }
    }

    #[test]
    fn people_and_those_who_ask_for_what_there_is_not_get_text() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for accept in ["", "*/*", "text/*", "image/png", browser, "text/plain;q=0", "*/*;q=0", "x", ",;,", "a/b;c"] {
            assert_eq!(negotiate(accept), Text, "{accept}");
        }
    }

    #[test]
    fn weights_closeness_and_order_decide() {
        let (openmetrics, protobuf) = ("application/openmetrics-text", "application/vnd.google.protobuf");
        let cases = [
            (format!("{openmetrics}, text/plain"), OpenMetrics),
            (format!("text/plain, {openmetrics}"), Text),
            (format!("text/plain;q=0.4, {openmetrics};q=0.5"), OpenMetrics),
            (format!("text/plain;q=0.5, {openmetrics};q=0.4"), Text),
            (format!("{openmetrics};q=0, */*"), Text),
            (format!("{openmetrics};q=0.5, */*;q=0.9"), Text),
            (format!("text/plain;q=0, {openmetrics};q=0, */*;q=0.1"), Protobuf),
            // `*/*` says more for text than `application/*` for the others
            ("application/*;q=0.5, */*;q=0.6".to_owned(), Text),
            ("application/*".to_owned(), OpenMetrics),
            (format!("{openmetrics}, {protobuf};encoding=delimited"), Protobuf),
            (format!("{protobuf};encoding=text, {openmetrics};q=0.1"), OpenMetrics),
            (format!("{protobuf};proto=other.Message, text/plain;q=0.1"), Text),
            (format!("{}; VERSION=\"1.0.0\" ;Q=1", openmetrics.to_uppercase()), OpenMetrics),
            (format!("{openmetrics};version=2.0.0, text/plain;q=0.1"), Text),
        ];
        for (accept, expected) in cases {
            assert_eq!(negotiate(&accept), expected, "{accept}");
        }
    }

    #[test]
    fn a_range_whose_weight_cannot_be_read_does_not_count() {
        for q in ["", "2", "-1", "nan", "inf", "a", "1e9"] {
            let accept = format!("application/openmetrics-text;q={q}, text/plain;q=0.1");
            assert_eq!(negotiate(&accept), Text, "{accept}");
            assert!(!accepts_gzip(&format!("gzip;q={q}")), "{q}");
        }
    }

    #[test]
    fn gzip_is_for_those_who_take_it_and_do_not_prefer_it_plain() {
        for takes in
            ["gzip", "x-gzip", "deflate, GZIP;q=0.5", "*", "*;q=0.1", "gzip; q=1.0, identity; q=0.5", "zstd,gzip"]
        {
            assert!(accepts_gzip(takes), "{takes}");
        }
        for plain in
            ["", "identity", "gzip;q=0", "gzip;q=0.000", "deflate", "*;q=0", "gzip;q=0, *", "gzip;q=0.5,identity"]
        {
            assert!(!accepts_gzip(plain), "{plain}");
        }
    }
}
