package system

import "testing"

var testedSystems = []System{Goes(), Hallgren()}

func TestGoesAndHallgren(t *testing.T) {
	for _, s := range testedSystems {
		t.Run(s.Name, func(t *testing.T) { testSystem(t, s, false) })
	}
}
