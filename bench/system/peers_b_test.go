package system

import "testing"

func TestWatermill(t *testing.T) { testSystem(t, Watermill(), true) }

func TestTerraskye(t *testing.T) { testSystem(t, Terraskye(), false) }

func TestRnovatorov(t *testing.T) { testSystem(t, Rnovatorov(), false) }
