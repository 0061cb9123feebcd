package report

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Machine is where a run was made.
type Machine struct {
	OS         string            `json:"os"`
	Processor  string            `json:"processor,omitempty"`
	Processors int               `json:"processors"`
	Go         string            `json:"go"`
	Revision   string            `json:"revision,omitempty"`
	Postgres   string            `json:"postgres"`
	Settings   map[string]string `json:"settings"`
}

// settings are those on which durability and speed depend.
var settings = []string{
	"fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers", "max_wal_size", "max_connections",
}

// NewMachine describes this machine and the server.
func NewMachine(ctx context.Context, serverURL string) (Machine, error) {
	m := Machine{
		OS: runtime.GOOS + "/" + runtime.GOARCH, Processor: processor(), Processors: runtime.NumCPU(),
		Go: runtime.Version(), Revision: revision(ctx), Settings: map[string]string{},
	}
	conn, err := pgx.Connect(ctx, serverURL)
	if err != nil {
		return m, err
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.QueryRow(ctx, "SELECT version()").Scan(&m.Postgres); err != nil {
		return m, err
	}
	for _, name := range settings {
		var value string
		if err := conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return m, err
		}
		m.Settings[name] = value
	}
	return m, nil
}

// processor is the model's name, "" where the system does not tell.
func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// revision is that of the working tree, "" where git does not tell.
func revision(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (m Machine) lines() []string {
	processor := m.Processor
	if processor == "" {
		processor = "processor unknown"
	}
	lines := []string{
		fmt.Sprintf("%s, %s, %d logical processors for clients and server together if both run there, %s", m.OS, processor, m.Processors, m.Go),
		m.Postgres,
	}
	var set []string
	for _, name := range settings {
		set = append(set, name+" "+m.Settings[name])
	}
	lines = append(lines, strings.Join(set, ", "))
	if m.Revision != "" {
		lines = append(lines, "revision "+m.Revision)
	}
	return lines
}
