//! A visit of the console by a browser: every page opened is looked at in two widths, and its numbers are read.

use std::path::PathBuf;

use headwater::platform::http::Client;

use crate::webdriver::{self, Browser};

/// Everything a browser session checks.
pub(super) struct Visit {
    pub browser: Browser,
    base: String,
    pictures: Option<PathBuf>,
}

impl Visit {
    /// A browser of this machine before the registry at `base`; `None`, said aloud, where there is none.
    pub(super) async fn start(http: &Client, base: &str) -> Option<Self> {
        let Some((chromium, chromedriver)) = webdriver::find() else {
            println!("skipped: no chromium and chromedriver on the path");
            return None;
        };
        Some(Self {
            browser: Browser::start(http.clone(), &chromium, &chromedriver).await,
            base: base.to_owned(),
            pictures: std::env::var_os("HEADWATER_PICTURES").map(PathBuf::from),
        })
    }

    /// Opens a page in two widths; nothing may be refused, fail or stick out, and pictures are kept if asked for.
    pub(super) async fn open(&self, path: &str, name: &str) {
        for width in [1280, 390] {
            self.browser.resize(width, 900).await;
            self.browser.go(&format!("{}{path}", self.base)).await;
            assert_eq!(self.browser.console().await, Vec::<String>::new(), "{path}");
            assert!(!self.browser.overflows().await, "{path} is wider than {width}");
            if let Some(folder) = &self.pictures {
                self.browser.picture(&folder.join(format!("{name}-{width}.png")), width).await;
                if width == 1280 {
                    self.browser.dark(true).await;
                    self.browser.picture(&folder.join(format!("{name}-dark.png")), width).await;
                    self.browser.dark(false).await;
                }
            }
        }
        self.browser.resize(1280, 900).await;
    }

    async fn number(&self, css: &str) -> u64 {
        let value = self.browser.attribute(css, "value").await.parse().unwrap();
        let text = self.browser.text(css).await;
        assert_eq!(
            text.replace(',', ""),
            format!("{value}"),
            "the number people read is the one programs read"
        );
        value
    }

    pub(super) async fn numbers(&self, within: &str, expected: &[(&str, u64)]) {
        for (name, number) in expected {
            assert_eq!(
                self.number(&format!("{within} [data-count=\"{name}\"]")).await,
                *number,
                "{within} {name}"
            );
        }
    }
}
