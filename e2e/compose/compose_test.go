// Package compose_test checks docker-compose.yml and what it refers to, without Docker.
package compose_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/castellan-io/castellan/config"
)

const root = "../.."

// load reads the compose file with all profiles on and the given environment.
func load(t *testing.T, environment ...string) *types.Project {
	t.Helper()
	return loadFrom(t, root, environment...)
}

func loadFrom(t *testing.T, folder string, environment ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(folder, "docker-compose.yml")},
		cli.WithProfiles([]string{"*"}), cli.WithEnv(environment))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, project.Services)
	return project
}

// runsOnce reports whether somebody waits for the service to end, or it is people who run it, so that it needs no
// health check.
func runsOnce(project *types.Project, name string) bool {
	for _, service := range project.Services {
		if service.DependsOn[name].Condition == types.ServiceConditionCompletedSuccessfully {
			return true
		}
	}
	return name == "story"
}

func TestEveryServiceIsCheckedAndLocal(t *testing.T) {
	project := load(t)
	for name, service := range project.Services {
		if runsOnce(project, name) {
			require.Empty(t, service.Restart, "%s: a job that fails is to be seen", name)
		} else {
			require.Equal(t, "unless-stopped", service.Restart, name)
			require.NotNil(t, service.HealthCheck, "%s has no health check", name)
			require.False(t, service.HealthCheck.Disable, name)
			require.Greater(t, len(service.HealthCheck.Test), 1, name)
		}
		for _, port := range service.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s: port %d must be bound to loopback", name, port.Target)
		}
		for dependency, on := range service.DependsOn {
			require.Contains(t, []string{types.ServiceConditionHealthy, types.ServiceConditionCompletedSuccessfully},
				on.Condition,
				"%s must wait until %s is of use", name, dependency)
			require.Equal(t, len(project.Services[dependency].Profiles) == 0, on.Required, "%s: %s is not always there",
				name, dependency)
		}
	}
}

func TestEveryServiceIsConfined(t *testing.T) {
	for name, service := range load(t).Services {
		require.Equal(t, []string{"ALL"}, service.CapDrop, name)
		require.Contains(t, service.SecurityOpt, "no-new-privileges:true", name)
		require.Equal(t, name != "temporal-ui", service.ReadOnly, name)
		require.Positive(t, service.MemLimit, name)
		require.Positive(t, service.PidsLimit, name)
		require.NotNil(t, service.Logging, name)
		require.NotEmpty(t, service.Logging.Options["max-size"], "%s: its log fills the disk", name)
		require.Empty(t, service.ContainerName, "%s: a name of its own cannot be had twice", name)
	}
}

// TestImagesArePatchedOnRebuild: PostgreSQL, Caddy and Go are followed within a major or minor version, whose patches
// keep data and builds as they are; Temporal's versions belong together and change its schema.
func TestImagesArePatchedOnRebuild(t *testing.T) {
	want := map[string]string{
		"postgres": `^[0-9]+-[a-z]+$`, "caddy": `^[0-9]+-alpine$`, "golang": `^[0-9]+\.[0-9]+-[a-z]+$`,
		"temporalio/server": `^[0-9.]+$`, "temporalio/admin-tools": `^[0-9.]+$`, "temporalio/ui": `^[0-9.]+$`,
	}
	images := make(map[string]string)
	named := func(image string) {
		name, tag, _ := strings.Cut(image, ":")
		tag, _, _ = strings.Cut(tag, "@")
		require.Contains(t, want, name, "which of its versions does it follow?")
		require.Regexp(t, want[name], tag, name)
		if images[name] != "" {
			require.Equal(t, images[name], tag, "%s in two versions", name)
		}
		images[name] = tag
	}
	dockerfiles := map[string]bool{}
	for _, service := range load(t).Services {
		if service.Build == nil {
			named(service.Image)
		} else {
			dockerfiles[filepath.Join(service.Build.Context, "Dockerfile")] = true
		}
	}
	for path := range dockerfiles {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, from := range regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+:\S+)`).FindAllStringSubmatch(
			string(text), -1) {
			named(from[1])
		}
		require.NotContains(t, string(text), "# syntax=", "a front end of its own is one more image to fetch")
	}
	require.Len(t, images, len(want))
	require.Equal(t, images["temporalio/server"], images["temporalio/admin-tools"], "the schema is the server's")
}

// TestEachImageBelongsToOneService: Compose writes the name of the service into what it builds. Where two have the same
// image, each finds the other's under that name, and every "up" starts both anew, PostgreSQL among them.
func TestEachImageBelongsToOneService(t *testing.T) {
	of := map[string]string{}
	for name, service := range load(t).Services {
		require.Empty(t, of[service.Image], "%s has the image of %s", name, of[service.Image])
		of[service.Image] = name
	}
}

// TestFileModesDoNotMatter: what a container needs is in its image; only what people put into
// deploy/secrets is mounted, with a label under SELinux.
func TestFileModesDoNotMatter(t *testing.T) {
	project := load(t)
	require.Empty(t, project.Secrets, "Compose mounts them as they are, without a label")
	require.Empty(t, project.Configs)
	for name, service := range project.Services {
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			require.True(t, strings.HasPrefix(volume.Source, absolute(t, "deploy/secrets")+"/"), "%s: %s", name,
				volume.Source)
			require.DirExists(t, volume.Source)
			require.True(t, volume.ReadOnly, "%s: %s", name, volume.Source)
			require.NotNil(t, volume.Bind, "%s: %s", name, volume.Source)
			require.Equal(t, types.SELinuxShared, volume.Bind.SELinux, "%s: %s", name, volume.Source)
		}
	}
	for _, path := range []string{"deploy/postgres/Dockerfile", "deploy/temporal/Dockerfile",
		"deploy/proxy/Dockerfile"} {
		for _, line := range strings.Split(read(t, path), "\n") {
			if strings.HasPrefix(line, "COPY ") {
				require.Contains(t, line, " --chmod=", "%s: %s", path, line)
			}
		}
	}
}

func TestNoPasswordIsASetting(t *testing.T) {
	project := load(t)
	telling := regexp.MustCompile(`(?i)(password|pwd|secret|token|api_?key|castellan_key)`)
	seen := 0
	for name, service := range project.Services {
		if name == "temporal-namespace" {
			continue // it gets the worker's settings for the namespace among them
		}
		for variable, value := range service.Environment {
			if variable == "CASTELLAN_SECRETS_DIR" || !telling.MatchString(variable) {
				continue
			}
			seen++
			require.True(t, strings.HasSuffix(variable, "_FILE"), "%s: %s must be a file, not a value", name, variable)
			require.True(t, mounted(service, *value), "%s: %s is mounted nowhere", name, *value)
		}
	}
	require.NotZero(t, seen)

	// Only the job that makes them writes to the volumes of the passwords, and nobody has another's.
	readers := map[string][]string{"temporal-password": {"temporal", "temporal-schema"}, "ledger-password": {"worker"}}
	for name, service := range project.Services {
		for _, volume := range service.Volumes {
			if of, ok := readers[volume.Source]; ok && name != "databases" {
				require.Contains(t, of, name, volume.Source)
				require.True(t, volume.ReadOnly, "%s: %s", name, volume.Source)
				require.True(t, volume.Volume.NoCopy, "%s: the job says whose %s is", name, volume.Source)
			}
		}
	}
}

// mounted reports whether the path lies in a volume of the service.
func mounted(service types.ServiceConfig, path string) bool {
	return slices.ContainsFunc(service.Volumes,
		func(v types.ServiceVolumeConfig) bool { return strings.HasPrefix(path, v.Target+"/") })
}

// TestEverySettingCanBeGiven gives each of the worker's settings, and Temporal's own, in the file that people write.
func TestEverySettingCanBeGiven(t *testing.T) {
	names := []string{
		"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY", "TEMPORAL_TLS", "TEMPORAL_TLS_CLIENT_CERT_PATH",
		"TEMPORAL_TLS_CLIENT_KEY_PATH", "TEMPORAL_TLS_SERVER_CA_CERT_PATH", "TEMPORAL_TLS_SERVER_NAME",
		"TEMPORAL_PROFILE",
		"TEMPORAL_CONFIG_FILE", "CASTELLAN_KEY_ACME", "SSL_CERT_DIR", "HTTPS_PROXY",
	}
	for v := range config.Variables[config.Worker]() {
		names = append(names, v.Name)
	}
	var settings strings.Builder
	for _, name := range names {
		fmt.Fprintf(&settings, "%s='given as %s, with a $'\n", name, name)
	}
	folder := projectFolder(t)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "deploy/castellan.env"), []byte(settings.String()), 0o600))
	for _, organizations := range []string{"atlassian", "simulator"} {
		worker := loadFrom(t, folder, "CASTELLAN_ORGANIZATIONS="+organizations).Services["worker"]
		for _, name := range names {
			require.NotNil(t, worker.Environment[name], name)
			require.Equal(t, "given as "+name+", with a $", *worker.Environment[name],
				"another source of settings wins")
		}
	}
	// What the example names is known, and what it has in files lies where the worker sees it.
	worker := load(t).Services["worker"]
	for _, line := range regexp.MustCompile(`(?m)^#([A-Z_]+)=(.*)$`).FindAllStringSubmatch(
		read(t, "deploy/castellan.env.example"), -1) {
		require.Contains(t, names, line[1])
		if _, path, ok := strings.Cut(line[2], "/run/"); ok {
			require.True(t, mounted(worker, "/run/"+path), line[0])
		}
	}
}

func TestWorkerSettingsAreUsable(t *testing.T) {
	known := make(map[string]bool)
	for v := range config.Variables[config.Worker]() {
		known[v.Name] = true
	}
	for organizations, atlassian := range map[string]string{"atlassian": "https://api.atlassian.com",
		"simulator": "https://simulator:8443"} {
		t.Run(organizations, func(t *testing.T) { // as "make up" and "make up SIM=1" start it
			project := load(t, "CASTELLAN_ORGANIZATIONS="+organizations)
			worker := project.Services["worker"]
			for variable, value := range worker.Environment {
				if strings.HasPrefix(variable, "CASTELLAN_") && !strings.HasPrefix(variable, config.KeyPrefix) {
					require.True(t, known[variable], "the worker does not read %s", variable)
				}
				t.Setenv(variable, *value)
			}
			settings, err := config.Load[config.Worker]()
			require.NoError(t, err)
			require.Equal(t, atlassian, settings.AtlassianURL)
			require.Less(t, settings.DrainTimeout, timeOf(t, worker.StopGracePeriod),
				"Docker would kill the worker while calls are running")

			ledger, err := url.Parse(settings.Ledger.Reveal())
			require.NoError(t, err)
			require.Equal(t, "postgres", ledger.Scheme, "several workers share a ledger only in PostgreSQL")
			require.Contains(t, project.Services, ledger.Hostname())
			_, hasPassword := ledger.User.Password()
			require.False(t, hasPassword)
			databases := read(t, "deploy/postgres/databases.sh")
			require.Regexp(t, `(?m)^own `+ledger.User.Username()+` .*`+strings.TrimPrefix(ledger.Path, "/")+`$`,
				databases)
			require.NotRegexp(t, `(?m)^own temporal .*\bcastellan\b`, databases,
				"Temporal and the ledger have databases of their own")

			temporal, _, _ := strings.Cut(*worker.Environment["TEMPORAL_ADDRESS"], ":")
			require.Contains(t, project.Services, temporal)
			require.True(t, slices.ContainsFunc(worker.Volumes,
				func(v types.ServiceVolumeConfig) bool { return v.Target == settings.SecretsDir && v.ReadOnly }),
				"the keys must be mounted, read-only, where the worker looks for them")
		})
	}
}

// TestWorkersScale: as many workers as there are ports, each with its connections to PostgreSQL, which Temporal uses as
// well.
func TestWorkersScale(t *testing.T) {
	project := load(t)
	worker := project.Services["worker"]
	require.Len(t, worker.Ports, 1)
	first, last, isRange := strings.Cut(worker.Ports[0].Published, "-")
	require.True(t, isRange, "one port is one worker's")
	low, err := strconv.Atoi(first)
	require.NoError(t, err)
	high, err := strconv.Atoi(last)
	require.NoError(t, err)
	workers := high - low + 1
	require.GreaterOrEqual(t, workers, 3)

	temporal := project.Services["temporal"].Environment
	number := func(variable string) int {
		n, err := strconv.Atoi(*temporal[variable])
		require.NoError(t, err)
		return n
	}
	const parts = 4 // frontend, history, matching and worker, each with pools of its own
	ledger := regexp.MustCompile(`pool\.SetMaxOpenConns\((\d+)\)`).FindStringSubmatch(read(t, "ledger/open.go"))
	require.NotNil(t, ledger, "how many connections does a worker hold?")
	each, err := strconv.Atoi(ledger[1])
	require.NoError(t, err)
	wanted := parts*(number("SQL_MAX_CONNS")+number("SQL_VIS_MAX_CONNS")) + workers*each
	most := regexp.MustCompile(`max_connections=(\d+)`).FindStringSubmatch(
		strings.Join(project.Services["postgres"].Command, " "))
	require.NotNil(t, most)
	limit, err := strconv.Atoi(most[1])
	require.NoError(t, err)
	require.GreaterOrEqual(t, limit, wanted+10, "some are for people and backups")
	require.LessOrEqual(t, limit, wanted+50, "each is memory")
}

func TestProfiles(t *testing.T) {
	project := load(t)
	want := map[string][]string{"simulator": {"simulator"}, "proxy": {"reviews"}, "story": {"story"}}
	for name, service := range project.Services {
		require.Equal(t, want[name], service.Profiles, name)
		require.Empty(t, service.NetworkMode, "%s: a service that shares another's network dies with it", name)
	}
	// The proxy leads to where the worker's page is, at the address that its links have.
	worker := load(t, "CASTELLAN_ORGANIZATIONS=simulator").Services["worker"]
	_, port, _ := strings.Cut(*worker.Environment["CASTELLAN_REVIEW_ADDR"], ":")
	require.Contains(t, read(t, "deploy/proxy/Caddyfile"), "dynamic a worker "+port+" ")
	published := project.Services["proxy"].Ports[0]
	require.Equal(t, "https://localhost:"+published.Published, *worker.Environment["CASTELLAN_REVIEW_URL"])
	require.Contains(t, read(t, "deploy/proxy/Caddyfile"), "{$REVIEWS_ADDRESS:https://localhost}")
}

func TestComposeBuildsExist(t *testing.T) {
	for name, service := range load(t).Services {
		if service.Build == nil {
			continue
		}
		dockerfile, err := os.ReadFile(filepath.Join(service.Build.Context, "Dockerfile"))
		require.NoError(t, err)
		if service.Build.Target != "" {
			require.Regexp(t, `(?m)^FROM \S+ AS `+service.Build.Target+`$`, string(dockerfile), name)
		}
		for _, script := range regexp.MustCompile(`/castellan/(\S+\.sh)`).FindAllStringSubmatch(
			strings.Join(slices.Concat(service.Entrypoint, service.Command), " "), -1) {
			require.FileExists(t, filepath.Join(service.Build.Context, script[1]), name)
			require.Regexp(t, `(?m)^COPY .*\b`+script[1]+`\b`, string(dockerfile), name)
		}
	}
	require.Contains(t, read(t, "Dockerfile"), "USER 65532", "the images run as a user without rights")
}

// TestProgramsKnowTheirFlags: what the compose file passes to our own programs must be among their flags.
func TestProgramsKnowTheirFlags(t *testing.T) {
	project := load(t)
	flag := regexp.MustCompile(`^--([a-z-]+)$`)
	checked := 0
	for service, program := range map[string]string{"worker": "worker", "simulator": "simulator", "story": "demo"} {
		// may well exit with an error
		help, _ := exec.CommandContext(t.Context(), build(t, program), "--help").CombinedOutput()
		words := slices.Clone([]string(project.Services[service].Command))
		if check := project.Services[service].HealthCheck; check != nil {
			words = append(words, check.Test...)
		}
		for _, word := range words {
			if name := flag.FindStringSubmatch(word); name != nil {
				checked++
				require.Regexp(t, `(?m)(^|[ \[])--?`+name[1]+`\b`, string(help), "%s has no flag %s", program, word)
			}
		}
	}
	require.NotZero(t, checked)
}

// TestTheSimulator runs the simulator and its health check as the compose file does, but for ports and folder.
func TestTheSimulator(t *testing.T) {
	project := load(t, "CASTELLAN_ORGANIZATIONS=simulator")
	service := project.Services["simulator"]
	folder := t.TempDir()
	arguments := slices.Clone([]string(service.Command))
	for flag, value := range map[string]string{"--listen": "127.0.0.1:0", "--tls-listen": "127.0.0.1:0",
		"--tls-folder": folder} {
		at := slices.Index(arguments, flag)
		require.GreaterOrEqual(t, at, 0)
		arguments[at+1] = value
	}
	simulator := exec.CommandContext(t.Context(), build(t, "simulator"), arguments...)
	output, err := simulator.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, simulator.Start())
	t.Cleanup(func() { _ = simulator.Wait() }) // the end of the test's context kills it
	var ready struct{ URL, TLS string }
	require.NoError(t, json.NewDecoder(output).Decode(&ready))

	require.Equal(t, "/probe", service.HealthCheck.Test[1])
	path, ok := strings.CutPrefix(service.HealthCheck.Test[2], "http://127.0.0.1:8085/")
	require.True(t, ok)
	probe := build(t, "deploy/probe")
	answer, err := exec.CommandContext(t.Context(), probe, ready.URL+"/"+path).CombinedOutput()
	require.NoError(t, err, string(answer))
	require.Error(t, exec.CommandContext(t.Context(), probe, ready.URL+"/nowhere").Run())

	// The worker trusts what the simulator leaves in the volume that both have, and reaches it by its service's name.
	worker := project.Services["worker"]
	var shared string
	for _, volume := range worker.Volumes {
		if volume.Source == "simulator" {
			shared = volume.Target
		}
	}
	require.Contains(t, strings.Split(*worker.Environment["SSL_CERT_DIR"], ":"), shared)
	trusting := exec.CommandContext(t.Context(), probe,
		strings.Replace(ready.TLS, "127.0.0.1", "localhost", 1)+"/"+path)
	trusting.Env = append(os.Environ(), "SSL_CERT_DIR="+folder, "SSL_CERT_FILE=/dev/null")
	answer, err = trusting.CombinedOutput()
	require.NoError(t, err, string(answer))
	require.Contains(t, strings.Join(service.Command, " "), "--tls-names simulator,")
}

func TestTheBuildGetsEveryFolderOfTheProduct(t *testing.T) {
	ignore := read(t, ".dockerignore")
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	outside := []string{"e2e", "examples", "tools"}
	seen := 0
	for _, entry := range entries {
		code, err := filepath.Glob(filepath.Join(root, entry.Name(), "*.go"))
		require.NoError(t, err)
		if len(code) > 0 && !slices.Contains(outside, entry.Name()) {
			seen++
			require.Regexp(t, `(?m)^!`+entry.Name()+`$`, ignore, "add the folder to .dockerignore")
		}
	}
	require.NotZero(t, seen)
	require.Regexp(t, `(?m)^\*$`, ignore, "what is not listed must stay out")
	require.Equal(t, []string{"!deploy/probe"}, regexp.MustCompile(`(?m)^!deploy.*$`).FindAllString(ignore, -1),
		"passwords must not reach an image")
}

func TestTemporalIsFair(t *testing.T) {
	var settings map[string][]struct {
		Value any `yaml:"value"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "deploy/temporal/dynamicconfig.yaml")), &settings))
	require.Equal(t, true, settings["matching.enableFairness"][0].Value)
	temporal := load(t).Services["temporal"]
	require.Equal(t, "/castellan/dynamicconfig.yaml", *temporal.Environment["DYNAMIC_CONFIG_FILE_PATH"])
	require.Regexp(t, `(?m)^COPY --chmod=644 dynamicconfig\.yaml /castellan/$`, read(t, "deploy/temporal/Dockerfile"))
}

// TestTheProxyKeepsLinksOutOfItsLogs: what Caddy says of a request that failed has its address, and so a reviewer's
// link.
func TestTheProxyKeepsLinksOutOfItsLogs(t *testing.T) {
	settings := read(t, "deploy/proxy/Caddyfile")
	require.Regexp(t, `(?m)^\s+exclude http\.log\.error http\.handlers\.reverse_proxy\b`, settings)
	require.NotRegexp(t, `(?m)^\tlog\b`, strings.SplitN(settings, "\n}\n", 2)[1], "no log of who asked for what")
}
