// Package compose_test checks docker-compose.yml and what it refers to, without Docker.
package compose_test

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithProfiles([]string{"*"}), cli.WithEnv(environment))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, project.Services)
	return project
}

// runsOnce says that somebody waits for the service to end, so that it needs no health check.
func runsOnce(project *types.Project, name string) bool {
	for _, service := range project.Services {
		if service.DependsOn[name].Condition == types.ServiceConditionCompletedSuccessfully {
			return true
		}
	}
	return false
}

func TestEveryServiceIsPinnedCheckedAndLocal(t *testing.T) {
	project := load(t)
	pinned := regexp.MustCompile(`^[a-z0-9./-]+:[0-9]+\.[0-9]+[a-z0-9.-]*$`)
	for name, service := range project.Services {
		if service.Build == nil {
			require.Regexp(t, pinned, service.Image, "%s: pin the image to a version", name)
		}
		if runsOnce(project, name) {
			require.Equal(t, "on-failure:5", service.Restart, name)
		} else {
			require.NotNil(t, service.HealthCheck, "%s has no health check", name)
			require.False(t, service.HealthCheck.Disable, name)
			require.Greater(t, len(service.HealthCheck.Test), 1, name)
		}
		for _, port := range service.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s: port %d must be bound to loopback", name, port.Target)
		}
		for dependency, on := range service.DependsOn {
			if service.NetworkMode == types.ServicePrefix+dependency {
				continue // it only needs the network to exist
			}
			require.Contains(t, []string{types.ServiceConditionHealthy, types.ServiceConditionCompletedSuccessfully}, on.Condition,
				"%s must wait until %s is of use", name, dependency)
		}
	}
}

func TestSecretsAreFiles(t *testing.T) {
	project := load(t)
	telling := regexp.MustCompile(`(?i)(password|pwd|secret|token|api_?key|castellan_key)`)
	seen := 0
	for name, service := range project.Services {
		for variable, value := range service.Environment {
			if variable == "CASTELLAN_SECRETS_DIR" || !telling.MatchString(variable) {
				continue
			}
			seen++
			require.True(t, strings.HasSuffix(variable, "_FILE"), "%s: %s must be a file, not a value", name, variable)
			secret, below := strings.CutPrefix(*value, "/run/secrets/")
			require.True(t, below, "%s: %s", name, variable)
			require.True(t, slices.ContainsFunc(service.Secrets, func(s types.ServiceSecretConfig) bool { return s.Source == secret }), "%s does not get the secret %s", name, secret)
		}
	}
	require.NotZero(t, seen)

	// deploy/secrets.sh makes every file that the compose file names, and keeps what is there.
	folder := filepath.Join(t.TempDir(), "deploy")
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "secrets"), 0o755))
	script, err := os.ReadFile(filepath.Join(root, "deploy/secrets.sh"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "secrets.sh"), script, 0o700))
	made := make(map[string]string)
	for range 2 {
		output, err := exec.CommandContext(t.Context(), filepath.Join(folder, "secrets.sh")).CombinedOutput()
		require.NoError(t, err, string(output))
		for name, secret := range project.Secrets {
			inRepository, err := filepath.Rel(absolute(t, "deploy"), secret.File)
			require.NoError(t, err)
			content, err := os.ReadFile(filepath.Join(folder, inRepository))
			require.NoError(t, err)
			require.Regexp(t, `^[0-9a-f]{48}$`, string(content), name)
			if made[name] != "" {
				require.Equal(t, made[name], string(content), "a second run must not change %s", name)
			}
			made[name] = string(content)
		}
	}
	require.Len(t, made, len(project.Secrets))
}

func TestTheWorkersSettingsAreUsable(t *testing.T) {
	known := make(map[string]bool)
	for v := range config.Variables[config.Worker]() {
		known[v.Name] = true
	}
	for _, atlassian := range []string{"", "http://127.0.0.1:8085"} { // as "make up" and "make up SIM=1" start it
		project := load(t, "CASTELLAN_ATLASSIAN_URL="+atlassian)
		worker := project.Services["worker"]
		for variable, value := range worker.Environment {
			if strings.HasPrefix(variable, "CASTELLAN_") {
				require.True(t, known[variable], "the worker does not read %s", variable)
			}
			t.Setenv(variable, *value)
		}
		settings, err := config.Load[config.Worker]()
		require.NoError(t, err)
		if atlassian != "" {
			require.Equal(t, atlassian, settings.AtlassianURL)
		}
		require.Less(t, settings.DrainTimeout, timeOf(t, worker.StopGracePeriod), "Docker would kill the worker while calls are running")

		ledger, err := url.Parse(settings.Ledger.Reveal())
		require.NoError(t, err)
		require.Equal(t, "postgres", ledger.Scheme, "several workers share a ledger only in PostgreSQL")
		require.Contains(t, worker.DependsOn, ledger.Hostname())
		_, hasPassword := ledger.User.Password()
		require.False(t, hasPassword)
		initScript := read(t, "deploy/postgres/init.sh")
		require.Regexp(t, `(?m)^own `+ledger.User.Username()+` .* `+strings.TrimPrefix(ledger.Path, "/")+`$`, initScript)
		require.NotRegexp(t, `(?m)^own temporal .*\bcastellan\b`, initScript, "Temporal and the ledger have databases of their own")

		temporal, _, _ := strings.Cut(*worker.Environment["TEMPORAL_ADDRESS"], ":")
		require.Contains(t, project.Services, temporal)
		require.True(t, slices.ContainsFunc(worker.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == settings.SecretsDir && v.ReadOnly }),
			"the keys must be mounted, read-only, where the worker looks for them")
	}
}

func TestTheSimulatorIsAProfile(t *testing.T) {
	project := load(t)
	simulator := project.Services["simulator"]
	require.Equal(t, []string{"simulator"}, simulator.Profiles)
	require.Equal(t, "service:worker", simulator.NetworkMode, "the worker talks plain http to loopback addresses only")
	for name, service := range project.Services {
		if name != "simulator" {
			require.Empty(t, service.Profiles, name)
		}
	}
}

func TestWhatTheComposeFileMountsAndBuildsExists(t *testing.T) {
	project := load(t)
	dockerfile := read(t, "Dockerfile")
	for name, service := range project.Services {
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeBind && volume.Source != absolute(t, "deploy/secrets/keys") { // deploy/secrets.sh makes that one
				require.FileExistsf(t, fileIn(volume.Source), name)
			}
		}
		if service.Build != nil {
			require.Regexp(t, `(?m)^FROM \S+ AS `+service.Build.Target+`$`, dockerfile, name)
		}
	}
	for _, from := range regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+:\S+)`).FindAllStringSubmatch(dockerfile, -1) {
		require.Regexp(t, `:[0-9]+\.[0-9]+\.[0-9]+`, from[1], "pin the base image")
	}
	require.Contains(t, dockerfile, "USER 65532", "the images run as a user without rights")
}

// TestTheProgramsKnowTheirFlags: what the compose file passes to our own programs must be among their flags.
func TestTheProgramsKnowTheirFlags(t *testing.T) {
	project := load(t)
	flag := regexp.MustCompile(`^--([a-z-]+)$`)
	checked := 0
	for _, program := range []string{"worker", "simulator"} {
		help, _ := exec.CommandContext(t.Context(), build(t, program), "--help").CombinedOutput() // may well exit with an error
		service := project.Services[program]
		for _, word := range slices.Concat([]string(service.HealthCheck.Test), []string(service.Command)) {
			if name := flag.FindStringSubmatch(word); name != nil {
				checked++
				require.Regexp(t, `(?m)(^|[ \[])--?`+name[1]+`\b`, string(help), "%s has no flag %s", program, word)
			}
		}
	}
	require.NotZero(t, checked)
}

// TestTheSimulatorsHealthCheck runs the simulator and its health check as the compose file does, but for the port.
func TestTheSimulatorsHealthCheck(t *testing.T) {
	service := load(t).Services["simulator"]
	const listen = "0.0.0.0:8085"
	arguments := slices.Clone([]string(service.Command))
	at := slices.Index(arguments, listen)
	require.GreaterOrEqual(t, at, 0)
	arguments[at] = "127.0.0.1:0"
	simulator := exec.CommandContext(t.Context(), build(t, "simulator"), arguments...)
	output, err := simulator.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, simulator.Start())
	t.Cleanup(func() { _ = simulator.Wait() }) // the end of the test's context kills it
	var ready struct{ URL string }
	require.NoError(t, json.NewDecoder(output).Decode(&ready))

	require.Equal(t, "/probe", service.HealthCheck.Test[1])
	path, ok := strings.CutPrefix(service.HealthCheck.Test[2], "http://127.0.0.1:8085/")
	require.True(t, ok)
	probe := build(t, "deploy/probe")
	answer, err := exec.CommandContext(t.Context(), probe, ready.URL+"/"+path).CombinedOutput()
	require.NoError(t, err, string(answer))
	require.Error(t, exec.CommandContext(t.Context(), probe, ready.URL+"/nowhere").Run())
}

func TestTheBuildGetsEveryFolderOfTheProduct(t *testing.T) {
	ignore := read(t, ".dockerignore")
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	outside := []string{"demo", "e2e", "examples", "tools"}
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
	require.Equal(t, []string{"!deploy/probe"}, regexp.MustCompile(`(?m)^!deploy.*$`).FindAllString(ignore, -1), "passwords must not reach an image")
}

func TestTemporalIsFair(t *testing.T) {
	var settings map[string][]struct {
		Value any `yaml:"value"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "deploy/temporal/dynamicconfig.yaml")), &settings))
	require.Equal(t, true, settings["matching.enableFairness"][0].Value)
	temporal := load(t).Services["temporal"]
	require.Equal(t, "/deploy/dynamicconfig.yaml", *temporal.Environment["DYNAMIC_CONFIG_FILE_PATH"])
}
