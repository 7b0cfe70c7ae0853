//! `headwater demo`: a simulated EHR, a registry and a site on loopback; two nights with a day of changes between them.
//! Everything talks real HTTP, exactly as it would between a hospital and a registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::show::{self, Stage, thousands};
use super::{Exit, Failure, chain, init, report, runtime, sync};
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
#[command(after_help = "Example: headwater demo --patients 20 --exit")]
pub(super) struct Args {
    /// How many synthetic patients the simulated EHR has
    #[arg(long, default_value_t = 40, conflicts_with = "data")]
    patients: u64,
    /// Serve this folder of NDJSON instead of synthetic patients
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The registry's common data model
    #[arg(long, default_value = "ibd-registry")]
    model: String,
    /// How the site de-identifies
    #[arg(long, default_value = "limited-data-set", value_parser = ["safe-harbor", "limited-data-set"])]
    policy: String,
    /// Where the simulation's chance begins
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Leave when the second night is done, instead of serving the console until Ctrl-C
    #[arg(long)]
    exit: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the demo's patients are synthetic; a real site never writes outside its state directory"
    )]
    let dir = std::env::temp_dir().join(format!("headwater-demo-{}", random::hex(6)));
    file::create_dir_private(&dir).map_err(|error| Failure::ours(&error))?;
    let done = runtime()?.block_on(stage(&args, &dir));
    if let Err(error) = std::fs::remove_dir_all(&dir) {
        show::note(&format!(
            "the demo's folder {} could not be removed ({})",
            dir.display(),
            error.kind()
        ));
    }
    done
}

async fn stage(args: &Args, dir: &Path) -> Result<(), Failure> {
    let clock = Clock::system();
    let ehr = start_ehr(args, dir, &clock).await?;
    show::note(&format!("EHR          {} (SMART Backend Services, Bulk Data)", ehr.base_url()));
    let registry = start_registry(args, dir, &clock).await?;
    show::note(&format!("registry     {}", registry.base_url()));

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
    let source = init::Ehr::Bulk {
        base: ehr.base_url(),
        client_id: &client_id,
        group: Some("all"),
    };
    init::make(
        &client,
        &site_dir,
        &source,
        registry.base_url(),
        &code,
        "demo-network",
        &args.policy,
    )
    .await?;
    let config = config::load(&site_dir.join("site.toml")).map_err(|error| Failure::ours(&error))?;
    let site = Arc::new(sync::open(&config, Tools { http: client, clock })?);
    show::note("site         demo, enrolled at the registry, registered at the EHR\n");

    show::answer("── First night: everything ──────────────────────────────────────────");
    let first = sync::one_run(&site, &Options::default()).await?;
    show::answer(&report::text(&first));

    let day = ehr.advance_day().await.map_err(|error| Failure::ours(&error))?;
    let merged = day
        .merged
        .as_ref()
        .map_or(String::new(), |_| ", two patients found to be one".to_owned());
    show::answer(&format!(
        "\n── A day passes at the EHR: {} resources edited, {} new, {} deleted{merged} ──",
        thousands(day.edited.len() as u64),
        thousands(day.added.len() as u64),
        thousands(day.deleted.len() as u64),
    ));

    show::answer("\n── Second night: what changed ───────────────────────────────────────");
    let second = sync::one_run(&site, &Options::default()).await?;
    show::answer(&report::text(&second));
    show::answer("");
    show::answer(&verdict(&first, &second));

    if !args.exit {
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
        tokio::signal::ctrl_c().await.map_err(|error| Failure::ours(&error))?;
    }
    drop(site);
    ehr.shutdown().await;
    registry.stop().await.map_err(|error| Failure::new(Exit::Ours, chain(&error)))?;
    sync::verdict(&first)?;
    sync::verdict(&second)
}

fn verdict(first: &Report, second: &Report) -> String {
    format!(
        "night 1  {}\nnight 2  {}\nregistry holds both as leaves {} and {} of its log",
        report::balance(first),
        report::balance(second),
        first.leaf.map_or("?".to_owned(), |leaf| leaf.to_string()),
        second.leaf.map_or("?".to_owned(), |leaf| leaf.to_string()),
    )
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
            stage.end(&format!("{} synthetic patients", thousands(args.patients)));
            data
        }
    };
    let mut settings = EhrSettings::new(data);
    settings.seed = args.seed;
    settings.retry_after_s = 0;
    settings.clock = clock.clone();
    ehr::serve(settings).await.map_err(|error| Failure::usage(chain(&error)))
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
