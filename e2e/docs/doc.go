// Package docs runs the commands of the README and the docs, and checks their links.
package docs
