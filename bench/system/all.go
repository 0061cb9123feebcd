package system

import "fmt"

// All returns the systems in the order in which they stand in tables.
func All() []System {
	return []System{
		Raw(), RawStatement(), Records(), Events(),
		NaiveStore(),
		Goes(), Hallgren(), Terraskye(), Rnovatorov(), Watermill(),
	}
}

// Named returns the systems of the names, in the order of [All].
func Named(names []string) ([]System, error) {
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	var systems []System
	for _, s := range All() {
		if wanted[s.Name] {
			systems = append(systems, s)
			delete(wanted, s.Name)
		}
	}
	for _, name := range names {
		if wanted[name] {
			return nil, fmt.Errorf("no system is named %q", name)
		}
	}
	return systems, nil
}
