package upcast_test

import (
	"math"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/serializer/upcast"
)

type placed struct {
	eventsource.BaseEvent
	Customer string `json:"customer"`
	Total    int64  `json:"total"`
	Currency string `json:"currency"`
	Note     string `json:"note"`
}

func (*placed) EventType() string { return "Placed" }

// What upcasting costs events that need none, beside the serializer that it wraps.
func BenchmarkUnmarshal(b *testing.B) {
	plain := json.NewSerializer(&placed{})
	unchanged := upcast.NewSerializer(plain)
	changed := upcast.NewSerializer(plain, upcast.Rename("OrderPlaced", "Placed"),
		upcast.Step("Placed", 1, func(old map[string]any) (map[string]any, error) {
			old["currency"] = "EUR"
			return old, nil
		}))
	const fields = `"customer":"ann","total":12345,"currency":"EUR","note":"leave it at the door, please"}`
	old, newest := []byte("{"+fields), []byte(`{"$v":2,`+fields)
	one := func(s eventsource.Serializer, eventType string, data []byte) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Unmarshal(data, eventType); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("plain", one(plain, "Placed", old))
	b.Run("no rules", one(unchanged, "Placed", old))
	b.Run("newest version", one(changed, "Placed", newest))
	b.Run("newest version under an old name", one(changed, "OrderPlaced", newest))
	b.Run("version before", one(changed, "Placed", old))
	b.Run("newest version of several", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := changed.UnmarshalAll(newest, "Placed"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The ratio is of the quickest of many short turns, which a busy machine changes little.
func BenchmarkNewestVersionBesidePlain(b *testing.B) {
	plain := json.NewSerializer(&placed{})
	changed := upcast.NewSerializer(plain, upcast.Step("Placed", 1, func(old map[string]any) (map[string]any, error) { return old, nil }))
	const fields = `"customer":"ann","total":12345,"currency":"EUR","note":"leave it at the door, please"}`
	quickest := map[eventsource.Serializer]time.Duration{plain: math.MaxInt64, changed: math.MaxInt64}
	for b.Loop() {
		for s, data := range map[eventsource.Serializer][]byte{plain: []byte("{" + fields), changed: []byte(`{"$v":2,` + fields)} {
			began := time.Now()
			for range 50 {
				if _, err := s.Unmarshal(data, "Placed"); err != nil {
					b.Fatal(err)
				}
			}
			quickest[s] = min(quickest[s], time.Since(began))
		}
	}
	b.ReportMetric(float64(quickest[changed])/float64(quickest[plain]), "x-plain")
}
