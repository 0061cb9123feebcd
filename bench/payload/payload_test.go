package payload

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestDataIsTheJSONOfTheValue(t *testing.T) {
	git, err := Git()
	if err != nil {
		t.Fatal(err)
	}
	kilobyte, err := Kilobyte()
	if err != nil {
		t.Fatal(err)
	}
	if len(git) != 3000 || len(kilobyte) != 1 {
		t.Errorf("there are %d events of git and %d of a kilobyte, want 3000 and 1", len(git), len(kilobyte))
	}
	for i, event := range append(git, kilobyte...) {
		value, err := New(event.Type)
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		if err := json.Unmarshal(event.Data, value); err != nil || !reflect.DeepEqual(value, event.Value) {
			t.Fatalf("event %d is %+v, and its JSON gives %+v, %v", i, event.Value, value, err)
		}
	}
}

func TestSizes(t *testing.T) {
	kilobyte, err := Kilobyte()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(kilobyte[0].Data); n != 1024 {
		t.Errorf("a kilobyte has %d bytes", n)
	}
	git, err := Git()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, event := range git {
		total += len(event.Data)
	}
	if mean := total / len(git); mean < 85 || mean > 100 {
		t.Errorf("an event of git has %d bytes on average, want about 92", mean)
	}
}

func TestUnknownTypesAreNamed(t *testing.T) {
	if _, err := New("Nothing"); err == nil || !strings.Contains(err.Error(), `"Nothing"`) {
		t.Errorf("got %v, want an error that names the type", err)
	}
	for _, line := range []string{"Nothing\t{}", "FileAdded\tno JSON", "FileAdded"} {
		if event, err := parse(line); err == nil {
			t.Errorf("%q is parsed as %+v, want an error", line, event)
		}
	}
}
