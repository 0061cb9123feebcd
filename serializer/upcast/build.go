package upcast

import (
	"errors"
	"maps"
	"slices"
)

// builder puts rules together.
type builder struct {
	types  []string
	names  map[string]string // new ones by old ones
	chains map[string]*chain // by type; at the end also by old names
	err    error
}

func (b *builder) wrong(format string, args ...any) {
	b.err = errors.Join(b.err, misconfigured(format, args...))
}

func (b *builder) build(rules []Rule) {
	for _, name := range b.types {
		b.chains[name] = &chain{eventType: name, registered: true, rules: make(map[int]*Rule)}
	}
	for i := range rules {
		rule := rules[i] // a copy: the caller may use the rule again
		rule.into = slices.Clone(rule.into)
		b.add(&rule, i+1)
	}
	if b.err != nil { // what follows would be consequences
		return
	}
	for _, name := range slices.Sorted(maps.Keys(b.chains)) {
		b.number(b.chains[name])
	}
	b.resolve()
	if b.err != nil {
		return
	}
	for _, c := range b.all() {
		b.checkLoops(c)
	}
}

// add checks a rule by itself, and files it.
func (b *builder) add(rule *Rule, number int) {
	switch {
	case rule.kind == noRule:
		b.wrong("rule %d is a %v", number, rule)
		return
	case rule.err != nil:
		b.err = errors.Join(b.err, rule.err)
		return
	case rule.eventType == "" || slices.Contains(rule.into, ""):
		b.wrong("rule %d, a %v, has an empty event type", number, rule)
		return
	case (rule.kind == isStep || rule.kind == isSplit) && (rule.version < 1 || rule.version >= MaxVersion):
		b.wrong("%v: versions are from 1 to %d", rule, MaxVersion)
		return
	}
	if rule.kind == isRename {
		if other, twice := b.names[rule.eventType]; twice {
			b.wrong("%q is renamed twice, to %q and to %q", rule.eventType, other, rule.into[0])
		}
		b.names[rule.eventType] = rule.into[0]
		return
	}
	c := b.chains[rule.eventType]
	if c == nil {
		c = &chain{eventType: rule.eventType, rules: make(map[int]*Rule)}
		b.chains[rule.eventType] = c
	}
	if rule.kind == isDrop {
		c.dropped = true
		return
	}
	if other := c.rules[rule.version]; other != nil {
		b.wrong("there are two rules for one version: %v, and %v", other, rule)
	}
	c.rules[rule.version] = rule
}

// number finds the newest version of a type, and sees that it can be reached.
func (b *builder) number(c *chain) {
	if c.dropped {
		if c.registered || len(c.rules) > 0 {
			b.wrong("%q is dropped, and so has no other rules and is not registered", c.eventType)
		}
		return
	}
	highest := 0
	for version := range c.rules {
		highest = max(highest, version)
	}
	for version := 1; version < highest; version++ {
		if c.rules[version] == nil {
			b.wrong("%q has no step from version %d to %d, though one from version %d", c.eventType, version, version+1, highest)
			return // the gap may be wide
		}
	}
	c.version = highest
	if c.registered {
		c.version++
	} else if last := c.rules[highest]; last.kind != isSplit {
		b.wrong("%q is not registered with the serializer, so the %v leads nowhere", c.eventType, last)
	}
}

// resolve follows renames, and replaces old names.
func (b *builder) resolve() {
	aliases := make(map[string]*chain)
	for _, old := range slices.Sorted(maps.Keys(b.names)) {
		if c := b.chains[old]; c != nil {
			b.wrong("%q was renamed to %q, and so has no other rules and is not registered", old, b.names[old])
			continue
		}
		name := old
		for range b.names {
			if next, ok := b.names[name]; ok {
				name = next
			}
		}
		if _, again := b.names[name]; again {
			b.wrong("the renaming of %q to %q leads back to where it began", old, b.names[old])
		} else if aliases[old] = b.chains[name]; aliases[old] == nil {
			b.wrong("%q was renamed to %q, which is not registered and has no rules", old, name)
		}
	}
	maps.Copy(b.chains, aliases)
	for _, c := range b.all() {
		for _, version := range slices.Sorted(maps.Keys(c.rules)) {
			for i, name := range c.rules[version].into {
				if to := b.chains[name]; to != nil {
					c.rules[version].into[i] = to.eventType
				} else {
					b.wrong("the %v is into %q, which is not registered and has no rules", c.rules[version], name)
				}
			}
		}
	}
}

// all gives each chain once, in the order of their types.
func (b *builder) all() []*chain {
	var all []*chain
	for _, name := range slices.Sorted(maps.Keys(b.chains)) {
		if c := b.chains[name]; c != nil && c.eventType == name {
			all = append(all, c)
		}
	}
	return all
}

// checkLoops sees that what a type is split into is never split into that type again.
// A split into the type itself leads to a higher version, which is checked when it happens.
func (b *builder) checkLoops(c *chain) {
	for _, version := range slices.Sorted(maps.Keys(c.rules)) {
		rule := c.rules[version]
		for _, name := range rule.into {
			switch {
			case rule.kind == isStep:
			case name == c.eventType && version == c.version:
				b.wrong("the %v is into %q itself, which has no higher version", rule, name)
			case name != c.eventType && b.leadsTo(name, c.eventType, make(map[string]bool)):
				b.wrong("the %v is into %q, which leads back to %q", rule, name, c.eventType)
			}
		}
	}
}

// leadsTo reports whether events of one type may become events of another one.
func (b *builder) leadsTo(from, to string, seen map[string]bool) bool {
	if from == to || seen[from] {
		return from == to
	}
	seen[from] = true
	for _, rule := range b.chains[from].rules {
		if slices.ContainsFunc(rule.into, func(name string) bool { return b.leadsTo(name, to, seen) }) {
			return true
		}
	}
	return false
}

// stored gives the names under which the events of each type may be stored.
func (b *builder) stored() map[string][]string {
	stored := make(map[string][]string)
	if b.err != nil {
		return stored
	}
	for _, to := range b.all() {
		for name, from := range b.chains {
			if b.leadsTo(from.eventType, to.eventType, make(map[string]bool)) {
				stored[to.eventType] = append(stored[to.eventType], name)
			}
		}
		slices.Sort(stored[to.eventType])
	}
	return stored
}
