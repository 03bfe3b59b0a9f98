// Package contract holds every request and every simulated answer against the vendor's descriptions.
package contract
