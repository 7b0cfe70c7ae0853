//! `headwater demo`: a simulated EHR, a registry and a site on loopback; two nights with a day of changes between them.
//! Everything talks real HTTP, exactly as it would between a hospital and a registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::show::{self, Stage, thousands};
use super::{Exit, Failure, asked_to_stop, chain, init, report, runtime, sync};
use crate::config;
use crate::gateway::{Options, Places, Report, Tools};
use crate::network::Package;
use crate::platform::backend_services::ClientKey;
use crate::platform::clock::Clock;
use crate::platform::{file, http, random};
use crate::receive::{Accept, Settings as RegistrySettings};
use crate::registry::{self, RegistryConfig};
use crate::simulate::ehr::{self, Ehr, EhrSettings};
use crate::simulate::{self, GeneratorSettings};

#[derive(clap::Args)]
#[command(
    after_help = "Nothing leaves this machine, and nothing stays on it: the demo's folder is removed at the end.\n\n\
                        Example: headwater demo --patients 20 --exit"
)]
pub(super) struct Args {
    /// How many synthetic patients the simulated EHR has
    #[arg(long, value_name = "N", default_value_t = 40, conflicts_with = "data", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    patients: u64,
    /// Serve this folder of FHIR NDJSON (`<Type>*.ndjson[.gz]`) instead of synthetic patients
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The registry's common data model
    #[arg(long, value_name = "NAME", default_value = "ibd-registry")]
    model: String,
    /// How the site de-identifies
    #[arg(long, value_name = "NAME", default_value = "limited-data-set", value_parser = ["safe-harbor", "limited-data-set"])]
    policy: String,
    /// Seed of everything random in the simulation: the same seed, the same patients
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
    /// Leave when the second night is done, instead of serving the console until Ctrl-C
    #[arg(long)]
    exit: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let models = Package::BuiltIn.models();
    if !models.contains(&args.model) {
        return Err(Failure::usage(format!(
            "--model {}: there is no such model; there is: {}",
            args.model,
            models.join(", ")
        )));
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the demo's patients are synthetic; a real site never writes outside its state directory"
    )]
    let dir = std::env::temp_dir().join(format!("headwater-demo-{}", random::hex(6)));
    file::create_dir_private(&dir).map_err(|error| Failure::ours(&error))?;
    let done = runtime()?.block_on(async {
        let house = tokio::select! {
            played = play(&args, &dir) => played?,
            stopped = asked_to_stop() => return stopped.and(Err(Failure::new(Exit::Ours, "the demo was stopped before its end"))),
        };
        house.end(&args).await
    });
    if let Err(error) = std::fs::remove_dir_all(&dir) {
        show::note(&format!(
            "the demo's folder {} could not be removed ({})",
            dir.display(),
            error.kind()
        ));
    }
    done
}

/// What stands when both nights are done.
struct House {
    ehr: Ehr,
    registry: registry::Handle,
    nights: [Report; 2],
}

async fn play(args: &Args, dir: &Path) -> Result<House, Failure> {
    let clock = Clock::system();
    let ehr = start_ehr(args, dir, &clock).await?;
    show::note(&format!(
        "EHR          {} (simulated: SMART Backend Services, Bulk Data)",
        ehr.base_url()
    ));
    let registry = start_registry(args, dir, &clock).await?;
    show::note(&format!("registry     {} (model {})", registry.base_url(), args.model));

    let client = http::client(&http::HttpSettings::default()).map_err(|error| Failure::ours(&error))?;
    let code = registry
        .registry()
        .records()
        .add_site("demo")
        .map_err(|error| Failure::ours(&error))?;
    let site_dir = dir.join("site");
    file::create_dir_private(&site_dir).map_err(|error| Failure::ours(&error))?;
    let places = Places::of(&site_dir.join("state"));
    places.make_keys().map_err(|error| Failure::ours(&error))?;
    let jwk = ClientKey::from_file(&places.ehr_key())
        .map_err(|error| Failure::ours(&error))?
        .public_jwk();
    let client_id = ehr.register(jwk).map_err(|error| Failure::ours(&error))?;
    let plan = init::Plan {
        source: init::Source::Fhir(init::Fhir {
            group: Some("all".to_owned()),
            ..init::Fhir::new(ehr.base_url(), &client_id)
        }),
        network: "demo-network".to_owned(),
        policy: args.policy.clone(),
        model: args.model.clone(),
        vocabulary: case_vocabulary(args, dir)?,
        http: http::HttpSettings::default(),
    };
    init::make(&client, &site_dir, &plan, Some((registry.base_url(), &code))).await?;
    let config = config::load(&site_dir.join("site.toml")).map_err(|error| Failure::ours(&error))?;
    let site = Arc::new(sync::open(&config, Tools { http: client, clock })?);
    show::note(&format!(
        "site         `demo`, enrolled at the registry, registered at the EHR, de-identifies under {}\n",
        args.policy
    ));

    show::answer(&heading("First night: the site pulls everything its EHR has"));
    let first = sync::one_run(&site, &Options::default()).await?;
    show::answer(&report::text(&first));

    let day = ehr.advance_day().await.map_err(|error| Failure::ours(&error))?;
    let merged = day
        .merged
        .as_ref()
        .map_or(String::new(), |_| ", two patients found to be one".to_owned());
    show::answer("");
    show::answer(&heading("A day passes at the EHR"));
    show::answer(&format!(
        "{} edited, {} new, {} deleted{merged}; the site asks only for the types its mappings read\n",
        show::count(day.edited.len() as u64, "resource"),
        thousands(day.added.len() as u64),
        thousands(day.deleted.len() as u64),
    ));

    show::answer(&heading("Second night: the site pulls, and sends, only what changed"));
    let second = sync::one_run(&site, &Options::default()).await?;
    show::answer(&report::text(&second));
    show::answer("");
    show::answer(&heading("In short"));
    show::answer(&verdict(&first, &second));
    Ok(House {
        ehr,
        registry,
        nights: [first, second],
    })
}

impl House {
    /// Serves the console until a person has seen enough, or not at all, and takes everything down.
    async fn end(self, args: &Args) -> Result<(), Failure> {
        let registry = self.registry;
        if args.exit {
            show::note("\nwithout --exit the registry's console stays open, to look at all this in a browser");
        } else {
            let credentials = registry
                .registry()
                .records()
                .add_operator("demo")
                .map_err(|error| Failure::ours(&error))?;
            show::answer(&format!("\nconsole      {}/console", registry.base_url()));
            show::answer(&format!(
                "sign in      {}/sign-in?code={}   (once, within 15 minutes)",
                registry.base_url(),
                credentials.code
            ));
            show::note("\nserving until Ctrl-C");
            asked_to_stop().await?;
            show::note("stopping; the demo's folder is removed");
        }
        self.ehr.shutdown().await;
        registry.stop().await.map_err(|error| Failure::new(Exit::Ours, chain(&error)))?;
        self.nights.iter().try_for_each(sync::verdict)
    }
}

/// The small vocabulary that travels with the model, as the folder of a site that has downloaded one.
fn case_vocabulary(args: &Args, dir: &Path) -> Result<Option<PathBuf>, Failure> {
    let files = Package::BuiltIn.vocabulary_files(&args.model);
    if files.is_empty() {
        return Ok(None);
    }
    let folder = dir.join("vocabulary");
    file::create_dir_private(&folder).map_err(|error| Failure::ours(&error))?;
    for (name, text) in files {
        file::write_durable(&folder.join(name), text.as_bytes()).map_err(|error| Failure::ours(&error))?;
    }
    Ok(Some(folder))
}

fn verdict(first: &Report, second: &Report) -> String {
    let (sum, balanced) = (
        report::ledger(&[("night 1", first), ("night 2", second)]),
        first.balanced() && second.balanced(),
    );
    let mut lines = vec![sum, String::new()];
    lines.push(if balanced {
        "Every resource pulled and every row released is accounted for: both ledgers balance.".to_owned()
    } else {
        "A LEDGER DOES NOT BALANCE: see the night above; please report this.".to_owned()
    });
    lines.push(format!(
        "The second night sent {} new or changed and withdrew {}; all else at the registry stayed as it was.",
        show::count(second.counts.upserts.values().sum(), "row"),
        thousands(second.counts.tombstones.values().sum()),
    ));
    if let (Some(first), Some(second)) = (first.leaf, second.leaf) {
        lines.push(format!(
            "Both submissions stand in the registry's tamper-evident log, as entries {first} and {second}."
        ));
    }
    lines.join("\n")
}

/// A line across, with what comes below it.
fn heading(words: &str) -> String {
    format!("── {words} {}", "─".repeat(70_usize.saturating_sub(words.chars().count())))
}

async fn start_ehr(args: &Args, dir: &Path, clock: &Clock) -> Result<Ehr, Failure> {
    let data = match &args.data {
        Some(data) => data.clone(),
        None => {
            let data = dir.join("ehr");
            let stage = Stage::begin("generate");
            let (settings, out) = (GeneratorSettings::new(args.patients, args.seed), data.clone());
            let made = tokio::task::spawn_blocking(move || {
                file::create_dir_private(&out)?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(simulate::generate(&settings, &out)?)
            });
            made.await
                .map_err(|error| Failure::ours(&error))?
                .map_err(|error| Failure::ours(&*error))?;
            stage.end(&show::count(args.patients, "synthetic patient"));
            data
        }
    };
    let mut settings = EhrSettings::new(data);
    settings.seed = args.seed;
    settings.retry_after_s = 0;
    settings.clock = clock.clone();
    let named = if args.data.is_some() { "--data: " } else { "" };
    ehr::serve(settings)
        .await
        .map_err(|error| Failure::usage(format!("{named}{}", chain(&error))))
}

async fn start_registry(args: &Args, dir: &Path, clock: &Clock) -> Result<registry::Handle, Failure> {
    let home = dir.join("registry");
    let models = home.join("profiles");
    let folder = models.join(&args.model);
    for path in [&home, &models, &folder] {
        file::create_dir_private(path).map_err(|error| Failure::ours(&error))?;
    }
    for (name, text) in Package::BuiltIn.schemas(&args.model).map_err(Failure::usage)? {
        file::write_durable(&folder.join(name), text.as_bytes()).map_err(|error| Failure::ours(&error))?;
    }
    let accept = Accept {
        model: args.model.clone(),
        policies: vec!["safe-harbor".into(), "limited-data-set".into()],
        ..Accept::default()
    };
    let settings = RegistrySettings::in_dir(&home, &models, "demo.headwater.example/log", vec![accept]);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(|error| Failure::ours(&error))?;
    registry::serve(
        RegistryConfig {
            settings,
            clock: clock.clone(),
        },
        listener,
    )
    .await
    .map_err(|error| Failure::ours(&error))
}
