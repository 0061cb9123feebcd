package main

import "slices"

// Product is what can be ordered.
type Product struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Price int64  `json:"price"` // in cents
}

// catalogue is all that can be ordered. It does not change while the program runs: an
// order keeps its prices, so that the next release may have others.
var catalogue = []Product{
	{ID: "tea", Name: "Tea, 100 g", Price: 490},
	{ID: "teapot", Name: "Teapot", Price: 3_490},
	{ID: "kettle", Name: "Kettle", Price: 5_900},
	{ID: "samovar", Name: "Samovar", Price: 89_000},
}

// findProduct looks a product up.
func findProduct(id string) (Product, bool) {
	at := slices.IndexFunc(catalogue, func(p Product) bool { return p.ID == id })
	if at < 0 {
		return Product{}, false
	}
	return catalogue[at], true
}
